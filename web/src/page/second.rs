//! The second opinion: a worker of wonnx, for one answer.

use super::Page;
use crate::message::{SecondRequest, SecondResponse};
use crate::state::{Second, Task};
use crate::worker_handle::{Script, WorkerHandle};

impl Page {
    /// Starts wonnx on the region that was judged.
    pub(super) fn ask_second_opinion(&mut self) {
        let (Task::Judged(report), Some(picture)) = (&self.state.task, self.picture.clone()) else { return };
        let request = SecondRequest::Opinion { picture, crop: report.crop };
        self.state.second = Second::Running;
        let (on_response, on_death) = (self.link.clone(), self.link.clone());
        let opened = WorkerHandle::open(
            &self.policy,
            Script::Wonnx,
            "",
            move |response| on_response.update(|page| page.on_second_response(response, &request)),
            move |failure| on_death.update(|page| page.end_second_opinion(Second::Failed(failure))),
        );
        match opened {
            Ok(worker) => self.wonnx = Some(worker),
            Err(failure) => self.end_second_opinion(Second::Failed(failure)),
        }
    }

    pub(super) fn on_second_response(&mut self, response: SecondResponse, request: &SecondRequest) {
        match response {
            SecondResponse::Started => {
                let sent = self.wonnx.as_ref().map(|wonnx| wonnx.send(request));
                if let Some(Err(failure)) = sent {
                    self.end_second_opinion(Second::Failed(failure));
                }
            }
            // Only the benchmark asks for times, of workers of its own.
            SecondResponse::Time(_) => {}
            SecondResponse::Opinion(opinion) => self.end_second_opinion(Second::Done(opinion)),
            SecondResponse::Failed(failure) => self.end_second_opinion(Second::Failed(failure)),
        }
    }

    /// Ends wonnx, and with it its device.
    pub(super) fn end_second_opinion(&mut self, second: Second) {
        self.wonnx = None;
        self.state.second = second;
    }
}
