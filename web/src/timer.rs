//! Time that passes, in pages and workers.

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, wait_ms: i32) -> i32;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: i32);
}

/// Calls a function once after a while, unless it is dropped before, which that function must not do.
pub struct Timer {
    id: i32,
    wait_ms: i32,
    ring: Closure<dyn Fn()>,
}

impl Timer {
    /// Calls `ring` in `wait_ms` milliseconds.
    pub fn new(wait_ms: i32, ring: impl Fn() + 'static) -> Self {
        let ring = Closure::<dyn Fn()>::new(ring);
        Timer { id: set_timeout(ring.as_ref().unchecked_ref(), wait_ms), wait_ms, ring }
    }

    /// Begins to wait anew.
    pub fn restart(&mut self) {
        clear_timeout(self.id);
        self.id = set_timeout(self.ring.as_ref().unchecked_ref(), self.wait_ms);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(self.id);
    }
}

/// Waits.
pub async fn sleep(wait_ms: i32) {
    let rung = Promise::new(&mut |resolve, _| {
        set_timeout(&resolve, wait_ms);
    });
    // Nothing rejects it.
    let _: Result<JsValue, JsValue> = JsFuture::from(rung).await;
}
