//! The device in the browser's words: what explains a time, and nothing that tells one visitor from the next.

use crate::worker_handle::Script;
use engine::benchmark::Environment;
use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// What the browser says of this device; the adapter is told by who opened it.
pub async fn describe() -> Environment {
    let global = js_sys::global();
    let navigator = field(&global, "navigator");
    let screen = field(&global, "screen");
    Environment {
        user_agent: field(&navigator, "userAgent")
            .as_string()
            .unwrap_or_default()
            .chars()
            .take(300)
            .collect(),
        platform: platform(&navigator).await,
        cores: field(&navigator, "hardwareConcurrency").as_f64(),
        memory_gb: field(&navigator, "deviceMemory").as_f64(),
        screen: ["width", "height"].map(|name| field(&screen, name).as_f64().unwrap_or(0.0)),
        pixel_ratio: field(&global, "devicePixelRatio").as_f64().unwrap_or(1.0),
        is_isolated: field(&global, "crossOriginIsolated").is_truthy(),
        has_relaxed_simd: Script::engine() == Script::RelaxedEngine,
        adapter: None,
        is_software_adapter: false,
    }
}

/// Platform and model, as Chromium tells them to who asks; other browsers say what there is to say in their user agent.
async fn platform(navigator: &JsValue) -> Option<String> {
    let data = field(navigator, "userAgentData");
    let ask: js_sys::Function = field(&data, "getHighEntropyValues").dyn_into().ok()?;
    let wanted = js_sys::Array::of3(&"model".into(), &"platformVersion".into(), &"architecture".into());
    let promise: js_sys::Promise = ask.call1(&data, &wanted).ok()?.dyn_into().ok()?;
    let values = JsFuture::from(promise).await.ok()?;
    let parts =
        ["platform", "platformVersion", "architecture", "model"].map(|name| field(&values, name).as_string());
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    let text: String = parts.join(" ").chars().filter(|c| !c.is_control()).take(120).collect();
    Some(text).filter(|text| !text.is_empty())
}

/// A field of an object; undefined where there is none.
fn field(of: &JsValue, name: &str) -> JsValue {
    Reflect::get(of, &name.into()).unwrap_or(JsValue::UNDEFINED)
}
