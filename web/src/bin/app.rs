//! The page's own wasm: document and state, no model.

use wasm_bindgen::prelude::*;

/// Builds the page; called by web/start.js.
///
/// # Errors
/// If the document is not the one of `index.html`, or the browser refuses the page's script policy.
#[wasm_bindgen(js_name = startPage)]
pub async fn start_page() -> Result<(), JsValue> {
    web::page::start().await
}

fn main() {}
