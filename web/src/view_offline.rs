//! The part of the document that says whether the page is kept on this device, and whether a newer version is.

use crate::offline::Offline;
use crate::view::View;
use wasm_bindgen::JsValue;

impl View {
    /// The version of the document, which the build writes into it.
    ///
    /// # Errors
    /// If the document has no place for it.
    pub(crate) fn version(&self) -> Result<String, JsValue> {
        Ok(self.element("version")?.text_content().unwrap_or_default())
    }

    pub(crate) fn render_offline(&self, offline: Offline) -> Result<(), JsValue> {
        self.element("offline-state")?.set_attribute("data-state", offline.name())?;
        self.set_text("offline-state", offline.sentence())?;
        self.show("offline-forget", offline.is_kept())?;
        let update = offline.update_sentence();
        self.show("update", !update.is_empty())?;
        self.set_text("update-text", update)
    }
}
