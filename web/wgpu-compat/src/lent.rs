//! How wonnx, which opens its device by itself, comes to use one that is there already.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;

thread_local! {
    static LENT: RefCell<Option<(wgpu30::Device, wgpu30::Queue)>> = const { RefCell::new(None) };
}

/// Runs `work` so that each device which it requests through the old API is `device`.
pub async fn lend<F: Future>(device: &wgpu30::Device, queue: &wgpu30::Queue, work: F) -> F::Output {
    let mut work = pin!(work);
    // Set for each poll, not for the whole run: other tasks of the thread come in between.
    poll_fn(|context| {
        let outer = LENT.replace(Some((device.clone(), queue.clone())));
        let progress = work.as_mut().poll(context);
        LENT.set(outer);
        progress
    })
    .await
}

/// The lent device, if [`lend`] is running.
pub(crate) fn lent() -> Option<(wgpu30::Device, wgpu30::Queue)> {
    LENT.with_borrow(Clone::clone)
}
