//! Files in their turn, and what becomes of each.

use super::Page;
use crate::download::describe;
use crate::history::{Entry, Outcome};
use crate::message::Failure;
use crate::saved_report::{self, SavedReport, is_saved};
use crate::state::{Picture, Task};
use std::collections::VecDeque;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::{File, FileList};

/// Most files at a time.
const MAX_FILES: usize = 200;

impl Page {
    /// Judges `files`, which were chosen, dropped or pasted, one after the other; a saved report is opened.
    pub(super) fn take(&mut self, files: Option<FileList>) {
        let files = files.map(|files| (0..files.length()).filter_map(|at| files.get(at)).collect());
        let files: VecDeque<File> = files.unwrap_or_default();
        match files.len() {
            0 => self.fail(Failure::new(
                "no_file",
                "that was no file; save the picture, then choose the file: links are not followed, so that \
                 nothing leaves this device",
            )),
            1 if is_saved(&files[0]) => self.open_report(files[0].clone()),
            count if count > MAX_FILES => {
                let advice = "for more, the program `aware scan` judges whole folders";
                let message =
                    format!("those were {count} files; at most {MAX_FILES} are judged at a time; {advice}");
                self.fail(Failure::new("too_many", message));
            }
            _ => {
                self.queue = files;
                self.judge_next();
            }
        }
    }

    /// Judges the next file that waits, if there is one.
    pub(super) fn judge_next(&mut self) {
        let Some(file) = self.queue.pop_front() else { return };
        let about = Picture { name: file.name(), sample: None, is_report: false };
        self.begin(file.into(), about);
    }

    /// Judges no more files than the one that is under way.
    pub(super) fn empty_queue(&mut self) {
        self.queue.clear();
    }

    /// Takes a verdict, or why there is none, into the visit's history, and goes on with what waits.
    pub(super) fn settle(&mut self) {
        let outcome = match &self.state.task {
            _ if !self.is_open => return,
            Task::Judged(report) => Outcome::Picture(report.clone()),
            Task::Watched(report) => Outcome::Video(report.verdict.label),
            Task::Failed(failure) => Outcome::Failed(failure.clone()),
            _ => return,
        };
        self.is_open = false;
        let name = self.state.picture.as_ref().map(|picture| picture.name.clone()).unwrap_or_default();
        self.state.history.push(Entry { name, file: self.picture.clone(), outcome });
        self.judge_next();
    }

    /// Shows a picture of the history again.
    pub(super) fn show_entry(&mut self, at: usize) {
        let Some(Entry { name, file: Some(file), outcome: Outcome::Picture(report) }) =
            self.state.history.entries().get(at).cloned()
        else {
            return;
        };
        self.empty_queue();
        self.clear();
        self.state.picture = Some(Picture { name, sample: None, is_report: false });
        self.state.task = match self.view.set_result_files(Some(&file), &report) {
            Ok(()) => Task::Judged(report),
            Err(error) => Task::Failed(Failure::new("page", describe(&error))),
        };
        self.picture = Some(file);
    }

    /// Shows the report in `file`.
    pub(super) fn open_report(&mut self, file: File) {
        self.empty_queue();
        self.clear();
        self.state.task = Task::Idle;
        let (link, id) = (self.link.clone(), self.last_id);
        spawn_local(async move {
            let read = saved_report::read(&file).await;
            link.update(|page| {
                // Else something was chosen meanwhile.
                if page.last_id == id {
                    page.show_report(file.name(), read);
                }
            });
        });
    }

    pub(super) fn show_report(&mut self, name: String, read: Result<SavedReport, Failure>) {
        self.state.picture = Some(Picture { name, sample: None, is_report: true });
        let shown = read.and_then(|read| {
            let page_failure = |error: JsValue| Failure::new("page", describe(&error));
            match read {
                SavedReport::Picture(report) => {
                    self.view.set_result_files(None, &report).map_err(page_failure)?;
                    Ok(Task::Judged(report))
                }
                SavedReport::Video(report) => {
                    self.view.set_video_report(&report).map_err(page_failure)?;
                    Ok(Task::Watched(report))
                }
            }
        });
        self.state.task = shown.unwrap_or_else(Task::Failed);
    }

    /// Ends what runs, and keeps what is there.
    pub(super) fn cancel(&mut self) {
        self.empty_queue();
        self.stop();
    }
}
