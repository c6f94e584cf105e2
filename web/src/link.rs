//! A part of the page, seen from its callbacks.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use wasm_bindgen::JsValue;

/// State that has a place in the document.
pub trait Shown {
    /// Makes the document show it.
    ///
    /// # Errors
    /// If the document is not the one of `index.html`.
    fn show(&mut self) -> Result<(), JsValue>;
}

/// A [`Shown`] part that lives as long as its document; callbacks hold it weakly.
pub struct Link<T>(Weak<RefCell<T>>);

impl<T> Clone for Link<T> {
    fn clone(&self) -> Self {
        Link(self.0.clone())
    }
}

impl<T: Shown> Link<T> {
    /// The part that `make` makes of its own link, which stays from now on.
    pub fn keep(make: impl FnOnce(Link<T>) -> T) -> (Rc<RefCell<T>>, Self) {
        let part = Rc::new_cyclic(|me| RefCell::new(make(Link(me.clone()))));
        std::mem::forget(part.clone());
        let link = Link(Rc::downgrade(&part));
        (part, link)
    }

    /// Runs `change` on the part and shows what came out.
    pub fn update(&self, change: impl FnOnce(&mut T)) {
        let Some(part) = self.0.upgrade() else { return };
        let shown = part.try_borrow_mut().map_err(|error| error.to_string().into()).and_then(|mut part| {
            change(&mut part);
            part.show()
        });
        // Only here, where nothing is borrowed: what is thrown passes by all destructors.
        if let Err(error) = shown {
            wasm_bindgen::throw_val(error);
        }
    }
}
