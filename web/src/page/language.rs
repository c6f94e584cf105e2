//! Another language, while the page is open: everything is said again, and nothing is lost.

use super::{Page, on};
use crate::state::Task;
use crate::text::languages;
use crate::view::View;
use wasm_bindgen::JsValue;
use web_sys::{Element, Event, MouseEvent, Window};

/// Offers the languages, and lets `page` hear of another one.
pub(super) fn listen_to_language(page: &Page) -> Result<(), JsValue> {
    let window = web_sys::window().ok_or("there is no window")?;
    let links = add_links(&page.view, &window)?;
    let link = page.link.clone();
    on(&window.clone(), "languagechange", move |_: Event| {
        languages::choose(&window);
        link.update(|page| page.speak());
        mark(&links)
    })
}

impl Page {
    /// Says everything in the language that is spoken by now.
    fn speak(&mut self) {
        self.state.history.say_again();
        // Drawn once, when the verdict came.
        let drawn = match &self.state.task {
            Task::Watched(report) => self.view.draw_timeline(report),
            _ => Ok(()),
        };
        // What is not said again stays as it is.
        let _ = drawn.and_then(|()| self.view.translate());
    }
}

/// A link for each language, which works as such in another tab, and else changes this page.
fn add_links(view: &View, window: &Window) -> Result<Vec<Element>, JsValue> {
    let search = window.location().search()?;
    let list = view.element("languages")?;
    let mut links = Vec::new();
    for name in languages::names() {
        let link = view.document().create_element("a")?;
        link.set_attribute("href", &languages::with_language(&search, name))?;
        for attribute in ["lang", "hreflang"] {
            link.set_attribute(attribute, name)?;
        }
        link.set_text_content(Some(languages::own_name(name)));
        list.append_with_node_1(&link)?;
        let window = window.clone();
        on(&link, "click", move |event: MouseEvent| {
            if !(event.ctrl_key() || event.meta_key() || event.shift_key()) {
                event.prevent_default();
                // Where the browser refuses the address, the page stays as it is.
                let _ = languages::wish(&window, name);
            }
        })?;
        links.push(link);
    }
    mark(&links);
    Ok(links)
}

/// Marks the link of the language that is spoken.
fn mark(links: &[Element]) {
    for link in links {
        let is_current = link.get_attribute("lang").as_deref() == Some(languages::current());
        // Neither name nor value is refused.
        let _ = match is_current {
            true => link.set_attribute("aria-current", "true"),
            false => link.remove_attribute("aria-current"),
        };
    }
}
