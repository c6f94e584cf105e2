//! Texts of the document: those of index.html, which stand there in English, and those with parts that stay English.
//!
//! In index.html `data-text="KEY"` names the text of an element, and `data-text-ATTRIBUTE="KEY"` that of an attribute. Elements
//! inside an element are slots, named by their ids.

use super::{Piece, find, languages, pieces, text};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Document, Element, Node, NodeList};

/// Attributes with texts.
pub const ATTRIBUTES: [&str; 3] = ["aria-label", "alt", "content"];

/// What is put into a text of the document.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// In the page's language.
    Said(&'a str),
    /// In English, whatever the page's language is: what the engine, the browser or a driver says.
    English(&'a str),
}

/// Puts the texts of the language that is spoken into `document`.
///
/// # Errors
/// If the browser refuses an attribute or a place.
pub fn translate(document: &Document) -> Result<(), JsValue> {
    if let Some(root) = document.document_element() {
        root.set_attribute("lang", languages::tag())?;
        root.set_attribute("dir", text("language.direction"))?;
    }
    for attribute in [None].into_iter().chain(ATTRIBUTES.map(Some)) {
        let name = attribute.map_or_else(|| "data-text".into(), |attribute| format!("data-text-{attribute}"));
        for element in elements::<Element>(&document.query_selector_all(&format!("[{name}]"))?) {
            let key = element.get_attribute(&name).unwrap_or_default();
            match (find(&key), attribute) {
                (None, _) => {}
                (Some(text), Some(attribute)) => element.set_attribute(attribute, text)?,
                (Some(text), None) => {
                    compose(&element, text, |id| document.get_element_by_id(id).map(Into::into))?;
                }
            }
        }
    }
    Ok(())
}

/// Lets `element` say `text` with `parts` in its slots, if it says something else: screen readers announce what is set.
///
/// # Errors
/// If the browser refuses it.
#[inline(never)]
pub fn say(element: &Element, text: &str, parts: &[(&str, Part)]) -> Result<(), JsValue> {
    let document = element.owner_document().ok_or("the element is in no document")?;
    let plain: Vec<(&str, &str)> = parts
        .iter()
        .map(|(name, part)| match part {
            Part::Said(text) | Part::English(text) => (*name, *text),
        })
        .collect();
    if element.text_content().as_deref() == Some(&super::fill(text, &plain)) {
        return Ok(());
    }
    compose(element, text, |slot| {
        parts.iter().find(|part| part.0 == slot).and_then(|(_, part)| match part {
            Part::Said(text) => Some(document.create_text_node(text).into()),
            Part::English(text) => {
                let span = document.create_element("span").ok()?;
                span.set_attribute("lang", "en").ok()?;
                span.set_text_content(Some(text));
                Some(span.into())
            }
        })
    })
}

/// Makes the words of `text` and what `slot` gives for its slots the content of `element`.
#[inline(never)]
fn compose(element: &Element, text: &str, slot: impl Fn(&str) -> Option<Node>) -> Result<(), JsValue> {
    let document = element.owner_document().ok_or("the element is in no document")?;
    let nodes: Vec<Node> = pieces(text)
        .filter_map(|piece| match piece {
            Piece::Words(words) => Some(document.create_text_node(words).into()),
            Piece::Slot(name) => slot(name),
        })
        .collect();
    element.set_text_content(None);
    nodes.iter().try_for_each(|node| element.append_child(node).map(|_| ()))
}

/// The elements of `list`.
pub fn elements<T: JsCast>(list: &NodeList) -> Vec<T> {
    (0..list.length()).filter_map(|at| list.get(at)?.dyn_into().ok()).collect()
}
