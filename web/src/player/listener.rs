//! What is heard of the browser while a player lives.

use wasm_bindgen::prelude::*;
use web_sys::EventTarget;

/// A listener that is taken off, or a timer that is stopped, when dropped.
pub struct Listener {
    heard: Heard,
    closure: Closure<dyn Fn()>,
}

enum Heard {
    Event(EventTarget, String),
    Timer(i32),
}

impl Listener {
    /// Calls `listener` on each event `name` of `target`.
    ///
    /// # Errors
    /// If the browser takes no listener.
    pub fn new(target: &EventTarget, name: &str, listener: impl Fn() + 'static) -> Result<Self, JsValue> {
        let closure = Closure::<dyn Fn()>::new(listener);
        target.add_event_listener_with_callback(name, closure.as_ref().unchecked_ref())?;
        Ok(Listener { heard: Heard::Event(target.clone(), name.into()), closure })
    }

    /// Calls `listener` every `interval_ms` milliseconds.
    ///
    /// # Errors
    /// If there is no window.
    pub fn every(interval_ms: i32, listener: impl Fn() + 'static) -> Result<Self, JsValue> {
        let closure = Closure::<dyn Fn()>::new(listener);
        let window = web_sys::window().ok_or("there is no window")?;
        let function = closure.as_ref().unchecked_ref();
        let timer = window.set_interval_with_callback_and_timeout_and_arguments_0(function, interval_ms)?;
        Ok(Listener { heard: Heard::Timer(timer), closure })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        match &self.heard {
            Heard::Event(target, name) => {
                // It is on the target since it was made.
                let _ =
                    target.remove_event_listener_with_callback(name, self.closure.as_ref().unchecked_ref());
            }
            Heard::Timer(timer) => {
                if let Some(window) = web_sys::window() {
                    window.clear_interval_with_handle(*timer);
                }
            }
        }
    }
}
