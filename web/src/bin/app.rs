//! The page's own wasm: document and state, no model.

fn main() -> Result<(), wasm_bindgen::JsValue> {
    web::page::start()
}
