//! A device whose errors are kept, and how wonnx comes to use it.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use wgpu30::{
    DeviceDescriptor, ErrorFilter, ErrorScopeGuard, Instance, InstanceDescriptor, RequestAdapterOptions,
};

thread_local! {
    static LENT: RefCell<Option<(wgpu30::Device, wgpu30::Queue)>> = const { RefCell::new(None) };
}

/// What the browser tells about an adapter; empty where it tells nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct AdapterSummary {
    /// Maker, such as `intel`.
    pub vendor: String,
    /// Family, such as `xe`; `swiftshader` is software.
    pub architecture: String,
    /// Free text.
    pub description: String,
    /// True for an adapter that the browser calls a fallback: software, as a rule.
    pub is_fallback: bool,
}

/// A WebGPU device, and every error that it reported since it was opened.
///
/// Error scopes stand on the device all its life: popping one waits for the errors of all calls before it, while
/// an `uncapturederror` event may arrive later than the result that it spoils. Dropping the value destroys the
/// device and frees its memory.
pub struct Gpu {
    device: wgpu30::Device,
    queue: wgpu30::Queue,
    summary: AdapterSummary,
    log: Log,
    scopes: RefCell<Vec<ErrorScopeGuard>>,
}

impl Gpu {
    /// Opens a device with all that the adapter offers.
    ///
    /// # Errors
    /// The reason in words when there is no WebGPU, no adapter, or no device from it.
    pub async fn open() -> Result<Self, String> {
        if Instance::enabled_backend_features().is_empty() {
            return Err("this build has no backend".into());
        }
        let instance = Instance::new(InstanceDescriptor::new_without_display_handle());
        let adapter = instance.request_adapter(&RequestAdapterOptions::default()).await;
        // wgpu's own words list the native backends that were not compiled in.
        let adapter = adapter.map_err(|_| "the browser offers no adapter".to_string())?;
        let descriptor = DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|error| error.to_string())?;

        let log = Log::default();
        let uncaptured = log.clone();
        device.on_uncaptured_error(Arc::new(move |error| uncaptured.push(error.to_string())));
        let lost = log.clone();
        device.set_device_lost_callback(move |_, message| lost.push(format!("device lost: {message}")));
        let scopes = RefCell::new(push_scopes(&device));
        let summary = summarise(&adapter.get_info(), &device);
        Ok(Self { device, queue, summary, log, scopes })
    }

    /// The adapter that the device came from.
    pub fn adapter(&self) -> &AdapterSummary {
        &self.summary
    }

    /// Runs `work` so that each device which it requests through the old API is this one.
    pub async fn lend<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        // Set for each poll, not for the whole run: other tasks of the thread come in between.
        poll_fn(|context| {
            let outer = LENT.replace(Some((self.device.clone(), self.queue.clone())));
            let progress = work.as_mut().poll(context);
            LENT.set(outer);
            progress
        })
        .await
    }

    /// Every error so far, those of the calls just made included. Once there is one, no result of the device
    /// counts: open another.
    pub async fn errors(&self) -> Vec<String> {
        let popped: Vec<_> = self.scopes.take().into_iter().rev().map(ErrorScopeGuard::pop).collect();
        self.scopes.replace(push_scopes(&self.device));
        for error in popped {
            if let Some(error) = error.await {
                self.log.push(error.to_string());
            }
        }
        self.log.read()
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // Scopes leave in reverse order; a `Vec` would drop the first one first.
        self.scopes.take().into_iter().rev().for_each(drop);
        self.device.destroy();
    }
}

/// The lent device, if [`Gpu::lend`] is running.
pub(crate) fn lent() -> Option<(wgpu30::Device, wgpu30::Queue)> {
    LENT.with_borrow(Clone::clone)
}

/// Distinct error messages, in order of arrival.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, message: String) {
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !messages.contains(&message) {
            messages.push(message);
        }
    }

    fn read(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn push_scopes(device: &wgpu30::Device) -> Vec<ErrorScopeGuard> {
    [ErrorFilter::Validation, ErrorFilter::OutOfMemory, ErrorFilter::Internal]
        .map(|filter| device.push_error_scope(filter))
        .into()
}

fn summarise(info: &wgpu30::AdapterInfo, device: &wgpu30::Device) -> AdapterSummary {
    let [vendor, architecture] = ["vendor", "architecture"].map(|key| adapter_text(device, key));
    let is_fallback = info.device_type == wgpu30::DeviceType::Cpu;
    AdapterSummary { vendor, architecture, description: info.name.clone(), is_fallback }
}

/// A text from `GPUDevice.adapterInfo`, which wgpu does not pass on.
#[cfg(target_arch = "wasm32")]
fn adapter_text(device: &wgpu30::Device, key: &str) -> String {
    use wgpu30::web_sys::js_sys::Reflect;
    device
        .as_webgpu()
        .and_then(|device| Reflect::get(device, &"adapterInfo".into()).ok())
        .and_then(|info| Reflect::get(&info, &key.into()).ok()?.as_string())
        .unwrap_or_default()
}

#[cfg(not(target_arch = "wasm32"))]
fn adapter_text(_device: &wgpu30::Device, _key: &str) -> String {
    String::new()
}
