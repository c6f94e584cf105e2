//! The visit's history -> the document.

use crate::history::{History, Outcome};
use crate::view::{MAX_NAME, ObjectUrl, View};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{HtmlAnchorElement, HtmlButtonElement};

impl View {
    /// Shows `history` where it has changed.
    pub(crate) fn render_history(&mut self, history: &History) -> Result<(), JsValue> {
        let section = self.element("history")?;
        let revision = history.revision.to_string();
        if section.get_attribute("data-revision").as_deref() == Some(&revision) {
            return Ok(());
        }
        section.set_attribute("data-revision", &revision)?;
        self.show("history", !history.entries().is_empty())?;
        let list = self.element("history-list")?;
        list.set_text_content(None);
        for (at, entry) in history.entries().iter().enumerate() {
            let item = self.document().create_element("li")?;
            let name: String = entry.name.chars().take(MAX_NAME).collect();
            let bdi = self.document().create_element("bdi")?;
            bdi.set_text_content(Some(&name));
            let text = self.document().create_element("span")?;
            text.set_text_content(Some(&entry.outcome.text()));
            // Only pictures can be shown again.
            if entry.file.is_some() && matches!(entry.outcome, Outcome::Picture(_)) {
                let button: HtmlButtonElement = self.document().create_element("button")?.unchecked_into();
                button.set_type("button");
                button.set_attribute("data-entry", &at.to_string())?;
                button.append_with_node_2(&bdi, &text)?;
                item.append_with_node_1(&button)?;
            } else {
                item.append_with_node_2(&bdi, &text)?;
            }
            list.append_with_node_1(&item)?;
        }
        let lines = history.lines();
        self.show("history-save", !lines.is_empty())?;
        let file = self.history_file.insert(ObjectUrl::of_text(&lines, "application/x-ndjson")?);
        let address = file.address().to_owned();
        self.typed::<HtmlAnchorElement>("history-save")?.set_href(&address);
        Ok(())
    }
}
