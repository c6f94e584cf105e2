//! A video or a camera: opened, watched frame by frame, ended.

use super::Page;
use crate::camera;
use crate::message::{Failure, Request};
use crate::player::{Player, PlayerEvent};
use crate::state::{Model, Picture, Task, Watching};
use crate::text::text;
use engine::video::Container;
use engine::video::report::{End, FaceSample};
use wasm_bindgen_futures::spawn_local;
use web_sys::{MediaStream, MouseEvent};

impl Page {
    /// Watches the file that turned out to be a video.
    pub(super) fn open_video(&mut self, container: Container, codec: Option<String>) {
        let (Task::Judging, Some(file), Ok(video)) = (&self.state.task, &self.picture, self.view.video())
        else {
            return;
        };
        let (link, id) = (self.link.clone(), self.last_id);
        let on_event = move |event| link.update(|page| page.on_player(id, event, codec.as_deref()));
        // The one format that the decoder's worker reads.
        let player = match container {
            Container::Mov => Player::of_film(&self.policy, video, file, on_event),
            Container::Matroska | Container::Avi | Container::MpegTs => {
                Player::of_file(video, file, on_event)
            }
        };
        self.show_player(player, Watching::default());
    }

    /// Asks the visitor for the camera.
    pub(super) fn ask_for_camera(&mut self) {
        self.empty_queue();
        self.is_open = false;
        self.clear();
        self.state.task = Task::AskingForCamera;
        let (link, id) = (self.link.clone(), self.last_id);
        spawn_local(async move {
            let opened = camera::open().await;
            link.update(|page| match opened {
                // Something else was chosen meanwhile.
                Ok(stream) if page.last_id != id => camera::close(&stream),
                Err(_) if page.last_id != id => {}
                Ok(stream) => page.open_camera(stream),
                Err(failure) => page.fail(failure),
            });
        });
    }

    pub(super) fn open_camera(&mut self, stream: MediaStream) {
        let Ok(video) = self.view.video() else { return camera::close(&stream) };
        let (link, id) = (self.link.clone(), self.last_id);
        let player = Player::of_camera(video, Clone::clone(&stream), move |event| {
            link.update(|page| page.on_player(id, event, None));
        });
        if player.is_err() {
            camera::close(&stream);
        }
        self.is_open = true;
        self.state.picture =
            Some(Picture { name: text("film.camera").into(), sample: None, is_report: false });
        self.show_player(player, Watching { is_live: true, ..Watching::default() });
    }

    pub(super) fn show_player(&mut self, player: Result<Player, Failure>, watching: Watching) {
        match player {
            Ok(player) => {
                self.player = Some(player);
                self.state.task = Task::Watching(Box::new(watching));
            }
            Err(failure) => self.state.task = Task::Failed(failure),
        }
    }

    pub(super) fn on_player(&mut self, id: u32, event: PlayerEvent, codec: Option<&str>) {
        if id != self.last_id {
            if let PlayerEvent::Frame { picture, .. } = event {
                picture.close();
            }
            return;
        }
        match event {
            PlayerEvent::Opened(media) => {
                if let Task::Watching(watching) = &mut self.state.task {
                    watching.media = Some(media);
                }
                self.begin_watch();
            }
            PlayerEvent::Frame { time_s, picture } => {
                let owned = picture.clone().into();
                let request = Request::Look { id, time_s, picture };
                let sent = self.engine.as_ref().map(|engine| engine.send_with(&request, &owned));
                if let Some(Err(failure)) = sent {
                    self.on_engine_death(failure);
                }
            }
            PlayerEvent::Ended { end, ended_s } => self.finish(end, ended_s),
            PlayerEvent::Failed(failure) => {
                self.player = None;
                let failure = if failure.code == "codec" { unplayable(codec) } else { failure };
                self.state.task = Task::Failed(failure);
            }
        }
    }

    /// Tells the engine what is to be watched, once both are there.
    pub(super) fn begin_watch(&mut self) {
        let (Task::Watching(watching), Model::Ready(_)) = (&self.state.task, &self.state.model) else {
            return;
        };
        if let Some(media) = watching.media {
            self.send(&Request::Watch { id: self.last_id, media });
        }
    }

    pub(super) fn on_look(&mut self, faces: Vec<FaceSample>, size: [u32; 2], samples: u32) {
        let (Task::Watching(watching), Some(player)) = (&mut self.state.task, &self.player) else { return };
        watching.counts = player.counts();
        watching.samples = samples;
        watching.size = size;
        if !faces.is_empty() {
            watching.faces = faces;
        }
    }

    /// Ends the video with what was looked at so far; its own end was reached at `ended_s`, if at all.
    pub(super) fn finish(&mut self, end: End, ended_s: Option<f64>) {
        if let (Task::Watching(_), Some(player)) = (&self.state.task, &self.player) {
            player.stop();
            self.send(&Request::Finish { id: self.last_id, end, ended_s });
        }
    }

    /// Stops the video or camera by the visitor's wish. A camera has no end of its own.
    pub(super) fn stop(&mut self) {
        let Task::Watching(watching) = &self.state.task else { return };
        let is_live = watching.is_live;
        if watching.plan.is_none() {
            // Nothing was looked at yet.
            self.clear();
            self.state.task = Task::Idle;
            return;
        }
        self.finish(if is_live { End::Whole } else { End::Interrupted }, None);
    }

    /// Goes to the place of the timeline that was clicked.
    pub(super) fn seek(&self, event: &MouseEvent) {
        let (Task::Watched(report), Some(player)) = (&self.state.task, &self.player) else { return };
        if let Ok(Some(time_s)) = self.view.time_at(event, report) {
            player.seek(time_s);
        }
    }
}

/// Why a video does not play here, and what helps.
fn unplayable(codec: Option<&str>) -> Failure {
    let what =
        codec.map_or_else(|| "this video".to_owned(), |codec| format!("this video, which holds {codec},"));
    let message = format!(
        "this browser does not play {what} or it is damaged; convert it to MP4 with H.264, or judge the file with the \
         program `aware detect`"
    );
    Failure::new("codec", message)
}
