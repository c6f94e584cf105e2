//! The part of the document that says where networks run, and whether this device computes right.

use crate::device_check::DeviceCheck;
use crate::message::GpuState;
use crate::text::document::{Part, say};
use crate::text::number::milliseconds;
use crate::text::text;
use crate::view::View;
use engine::runtime::gpu::AdapterSummary;
use wasm_bindgen::JsValue;
use web_sys::HtmlElement;

impl View {
    /// Where networks run, and why; the reason is the engine's, in English.
    pub(crate) fn render_gpu(&self, state: Option<&GpuState>) -> Result<(), JsValue> {
        let Some(state) = state else { return self.set_text("gpu-state", "") };
        let adapter = state.adapter.as_ref().map(AdapterSummary::to_string).unwrap_or_default();
        let times =
            state.times_ms.iter().map(|(place, time_ms)| format!("{place} {}", milliseconds(*time_ms)));
        let times = times.collect::<Vec<String>>().join(", ");
        let sentence = text(if state.reason.is_some() { "gpu.cpu" } else { "gpu.gpu" });
        let measured = match state.is_remembered {
            _ if times.is_empty() => "{sentence}",
            true => text("gpu.measured.before"),
            false => text("gpu.measured"),
        };
        let parts = [
            ("reason", Part::English(state.reason.as_deref().unwrap_or_default())),
            ("adapter", Part::English(&adapter)),
            ("place", Part::English(&state.place)),
            ("times", Part::English(&times)),
        ];
        say(&self.element("gpu-state")?, &measured.replace("{sentence}", sentence), &parts)
    }

    pub(crate) fn render_check(&self, check: &DeviceCheck) -> Result<(), JsValue> {
        self.element("device")?.set_attribute("data-state", check.name())?;
        let button: HtmlElement = self.typed("check")?;
        // Not disabled, which would take the focus away from whoever pressed it.
        button.set_attribute("aria-disabled", &matches!(check, DeviceCheck::Running).to_string())?;
        self.set_text("check-status", &check.sentence())?;
        self.show("check-details", matches!(check, DeviceCheck::Done(_)))?;
        let list = self.element("check-list")?;
        list.set_text_content(None);
        for line in check.lines() {
            let item = self.document().create_element("li")?;
            item.set_text_content(Some(&line));
            list.append_with_node_1(&item)?;
        }
        Ok(())
    }
}
