//! A GPU device, and every error that it reported since it was opened.

use super::error::GpuError;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use wgpu30::{
    DeviceDescriptor, DeviceLostReason, ErrorFilter, ErrorScopeGuard, Features, Instance, InstanceDescriptor,
    PowerPreference, RequestAdapterOptions, WgslLanguageFeatures,
};

/// What is known of an adapter; empty where nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AdapterSummary {
    /// Maker, such as `intel`.
    pub vendor: String,
    /// Family, such as `xe`; `swiftshader` is software.
    pub architecture: String,
    /// Free text.
    pub description: String,
    /// True for software.
    pub is_software: bool,
}

impl std::fmt::Display for AdapterSummary {
    /// In one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [&self.vendor, &self.architecture, &self.description];
        let words: Vec<&str> =
            words.into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        f.write_str(&if words.is_empty() { "not named by the browser".into() } else { words.join(" ") })
    }
}

/// A device, and every error that it reported since it was opened.
///
/// Error scopes stand on the device all its life: popping one waits for the errors of all calls before it, while
/// an `uncapturederror` event may arrive later than the result that it spoils. Dropping the value destroys the
/// device and frees its memory.
pub struct Gpu {
    device: wgpu30::Device,
    queue: wgpu30::Queue,
    summary: AdapterSummary,
    has_packed_dot: bool,
    log: Log,
    scopes: RefCell<Vec<ErrorScopeGuard>>,
}

impl Gpu {
    /// Opens a device with all that the best adapter offers.
    ///
    /// # Errors
    /// [`GpuError::Unavailable`] with the reason when there is no WebGPU, no adapter, or no device from it.
    pub async fn open() -> Result<Self, GpuError> {
        let unavailable = |detail: String| GpuError::Unavailable { detail };
        if Instance::enabled_backend_features().is_empty() {
            return Err(unavailable("this build has no backend".into()));
        }
        let instance = Instance::new(InstanceDescriptor::new_without_display_handle());
        let has_packed_dot =
            instance.wgsl_language_features().contains(WgslLanguageFeatures::Packed4x8IntegerDotProduct);
        let options = RequestAdapterOptions {
            power_preference: PowerPreference::HighPerformance,
            ..RequestAdapterOptions::default()
        };
        // wgpu's own words list the backends that were not compiled in.
        let adapter = instance.request_adapter(&options).await;
        let adapter = adapter.map_err(|_| unavailable("there is no adapter".into()))?;
        let descriptor = DeviceDescriptor {
            required_limits: adapter.limits(),
            required_features: adapter.features() & Features::TIMESTAMP_QUERY,
            ..Default::default()
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|error| unavailable(error.to_string()))?;

        let log = Log::default();
        let uncaptured = log.clone();
        device.on_uncaptured_error(Arc::new(move |error| uncaptured.fault(error.to_string())));
        let lost = log.clone();
        device.set_device_lost_callback(move |reason, message| lost.lose(reason, message));
        let scopes = RefCell::new(push_scopes(&device));
        let summary = summarise(&adapter.get_info(), &device);
        Ok(Gpu { device, queue, summary, has_packed_dot, log, scopes })
    }

    /// The adapter that the device came from.
    pub fn adapter(&self) -> &AdapterSummary {
        &self.summary
    }

    /// The device itself, for others that compute on it; their errors are kept here too.
    pub fn device(&self) -> &wgpu30::Device {
        &self.device
    }

    /// Where commands go.
    pub fn queue(&self) -> &wgpu30::Queue {
        &self.queue
    }

    /// Its compiler knows products of packed bytes.
    pub fn has_packed_dot(&self) -> bool {
        self.has_packed_dot
    }

    /// Its clock can be read.
    pub fn has_timestamps(&self) -> bool {
        self.device.features().contains(Features::TIMESTAMP_QUERY)
    }

    /// Whether all calls so far were without error, those just made included. Once one was not, no result of the
    /// device counts: open another.
    ///
    /// # Errors
    /// [`GpuError::Lost`], [`GpuError::Fault`].
    pub async fn check(&self) -> Result<(), GpuError> {
        let popped: Vec<_> = self.scopes.take().into_iter().rev().map(ErrorScopeGuard::pop).collect();
        self.scopes.replace(push_scopes(&self.device));
        for error in popped {
            if let Some(error) = error.await {
                self.log.fault(error.to_string());
            }
        }
        self.log.read()
    }

    /// Lets go of the device as if the system had taken it: for tests.
    pub fn destroy(&self) {
        self.device.destroy();
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // Scopes leave in reverse order; a `Vec` would drop the first one first.
        self.scopes.take().into_iter().rev().for_each(drop);
        self.device.destroy();
    }
}

/// What went wrong, the first thing of each kind.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    faults: Vec<String>,
    lost: Option<String>,
}

/// Most distinct messages that are kept.
const MAX_FAULTS: usize = 8;

impl Log {
    fn fault(&self, message: String) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.faults.len() < MAX_FAULTS && !state.faults.contains(&message) {
            state.faults.push(message);
        }
    }

    fn lose(&self, reason: DeviceLostReason, message: String) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.lost.get_or_insert(format!("{reason:?}: {message}"));
    }

    fn read(&self) -> Result<(), GpuError> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A lost device refuses everything that comes after it, so that the loss is the reason of the faults.
        if let Some(detail) = &state.lost {
            return Err(GpuError::Lost { detail: detail.clone() });
        }
        match state.faults.is_empty() {
            true => Ok(()),
            false => Err(GpuError::Fault { detail: state.faults.join("; ") }),
        }
    }
}

fn push_scopes(device: &wgpu30::Device) -> Vec<ErrorScopeGuard> {
    [ErrorFilter::Validation, ErrorFilter::OutOfMemory, ErrorFilter::Internal]
        .map(|filter| device.push_error_scope(filter))
        .into()
}

fn summarise(info: &wgpu30::AdapterInfo, device: &wgpu30::Device) -> AdapterSummary {
    let [vendor, architecture] = ["vendor", "architecture"].map(|key| adapter_text(device, key));
    let is_software =
        info.device_type == wgpu30::DeviceType::Cpu || architecture.eq_ignore_ascii_case("swiftshader");
    AdapterSummary { vendor, architecture, description: info.name.clone(), is_software }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_without_a_name_is_said_to_have_none() {
        assert_eq!(AdapterSummary::default().to_string(), "not named by the browser");
        let adapter =
            AdapterSummary { vendor: "intel".into(), architecture: "xe".into(), ..Default::default() };
        assert_eq!(adapter.to_string(), "intel xe");
    }
}
