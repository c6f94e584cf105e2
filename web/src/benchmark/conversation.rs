//! A worker that is asked and heard in turn.

use super::place::Place;
use crate::message::{Failure, GpuState, ModelCard, Request, Response, SecondRequest, SecondResponse};
use crate::timing::{TimeRequest, TimeResponse};
use crate::worker_handle::{ScriptPolicy, WorkerHandle};
use engine::golden::GoldenReport;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};

/// What a worker says.
enum Heard {
    /// Its first word.
    Awake,
    Gpu(GpuState),
    Ready(Option<Box<ModelCard>>),
    Checked(Result<GoldenReport, Failure>),
    Time(TimeResponse),
    Dead(Failure),
}

/// A worker of a place.
pub struct Conversation {
    place: Place,
    worker: WorkerHandle,
    heard: UnboundedReceiver<Heard>,
}

/// A worker that is ready.
pub struct Greeting {
    /// The bundle, where the engine runs.
    pub card: Option<Box<ModelCard>>,
    /// The GPU, where the worker looked for one.
    pub gpu: Option<GpuState>,
    /// Milliseconds until its first word.
    pub start_ms: f64,
}

impl Conversation {
    /// Starts the worker of `place` and waits until it is ready; `now_ms` is a clock.
    ///
    /// # Errors
    /// What kept it from that.
    pub async fn open(
        policy: &ScriptPolicy,
        place: Place,
        now_ms: &dyn Fn() -> f64,
    ) -> Result<(Self, Greeting), Failure> {
        let started_ms = now_ms();
        let (tell, heard) = unbounded();
        let worker = match place.is_engine() {
            true => {
                let deaths = tell.clone();
                WorkerHandle::open(
                    policy,
                    place.script(),
                    place.wish(),
                    move |of| hear_engine(&tell, of),
                    move |why| {
                        say(&deaths, Heard::Dead(why));
                    },
                )
            }
            false => {
                let deaths = tell.clone();
                WorkerHandle::open(
                    policy,
                    place.script(),
                    place.wish(),
                    move |of| hear_other(&tell, of),
                    move |why| {
                        say(&deaths, Heard::Dead(why));
                    },
                )
            }
        }?;
        let mut conversation = Conversation { place, worker, heard };
        let (mut gpu, mut start_ms) = (None, None);
        loop {
            let heard = conversation.next().await?;
            let awake_ms = *start_ms.get_or_insert_with(|| now_ms() - started_ms);
            match heard {
                Heard::Ready(card) => return Ok((conversation, Greeting { card, gpu, start_ms: awake_ms })),
                Heard::Gpu(state) => gpu = Some(state),
                _ => {}
            }
        }
    }

    /// The answer to `request`.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn ask(&mut self, request: TimeRequest) -> Result<TimeResponse, Failure> {
        match self.place.is_engine() {
            true => self.worker.send(&Request::Time(request))?,
            false => self.worker.send(&SecondRequest::Time(request))?,
        }
        loop {
            match self.next().await? {
                Heard::Time(TimeResponse::Failed(failure)) => return Err(failure),
                Heard::Time(response) => return Ok(response),
                _ => {}
            }
        }
    }

    /// What the bundle's golden vectors give; for places of the engine.
    ///
    /// # Errors
    /// Why they did not run.
    pub async fn check(&mut self) -> Result<GoldenReport, Failure> {
        self.worker.send(&Request::Check)?;
        loop {
            if let Heard::Checked(checked) = self.next().await? {
                return checked;
            }
        }
    }

    async fn next(&mut self) -> Result<Heard, Failure> {
        match self.heard.recv().await {
            Ok(Heard::Dead(failure)) => Err(failure),
            Ok(heard) => Ok(heard),
            Err(_) => Err(Failure::new("worker_died", "the part of the page that computes is gone")),
        }
    }
}

fn hear_engine(tell: &UnboundedSender<Heard>, response: Response) {
    say(
        tell,
        match response {
            Response::Ready(card) => Heard::Ready(Some(Box::new(card))),
            Response::Gpu(state) => Heard::Gpu(state),
            Response::Checked(checked) => Heard::Checked(checked),
            Response::Time(response) => Heard::Time(response),
            Response::Failed { failure, .. } => Heard::Dead(failure),
            _ => Heard::Awake,
        },
    );
}

fn hear_other(tell: &UnboundedSender<Heard>, response: SecondResponse) {
    say(
        tell,
        match response {
            SecondResponse::Started => Heard::Ready(None),
            SecondResponse::Time(response) => Heard::Time(response),
            SecondResponse::Failed(failure) => Heard::Dead(failure),
            SecondResponse::Opinion(_) => Heard::Awake,
        },
    );
}

fn say(tell: &UnboundedSender<Heard>, what: Heard) {
    // Nobody listens any more: the benchmark was stopped.
    let _ = tell.unbounded_send(what);
}
