//! What the page says, in the language of its visitor.
//!
//! The texts are those of web/messages: a file for each language, a key for each text, `{name}` where something is put in. A
//! text that a language lacks is said in English, and one that English lacks by its key: nothing here fails.
//!
//! [`document`]: texts of index.html; [`languages`]: which one is spoken; [`number`]: figures; [`names`]: texts for what the
//! engine says by code; [`pseudo`]: languages that nobody speaks, for tests.

pub mod document;
pub mod languages;
pub mod names;
pub mod number;
mod pseudo;
#[cfg(test)]
mod check;

use serde_json::{Map, Value};
use std::cell::{Cell, RefCell};

/// The languages by their names in addresses, with their texts. English is the first, and speaks for those that lack a text.
const FILES: [(&str, &str); 2] =
    [("en", include_str!("../messages/en.json")), ("de", include_str!("../messages/de.json"))];

/// A language and its texts.
struct Language {
    name: &'static str,
    texts: Map<String, Value>,
}

thread_local! {
    /// Those that were read: one for each that was spoken.
    static READ: RefCell<Vec<&'static Language>> = const { RefCell::new(Vec::new()) };
    static SPOKEN: Cell<&'static str> = const { Cell::new(FILES[0].0) };
}

/// The text of `key`.
#[inline(never)]
pub fn text(key: &'static str) -> &'static str {
    find(key).unwrap_or(key)
}

/// The text of a key that is made while the page runs, if there is one.
#[inline(never)]
pub fn find(key: &str) -> Option<&'static str> {
    spoken(key).or_else(|| english(key))
}

/// The text of `key` with `values` at their places.
#[inline(never)]
pub fn text_with(key: &'static str, values: &[(&str, &str)]) -> String {
    fill(text(key), values)
}

/// The first text for one thing, the other one for several, with their number as `{count}`.
#[inline(never)]
pub fn text_counted(count: usize, [one, other]: [&'static str; 2]) -> String {
    text_with(if count == 1 { one } else { other }, &[("count", &count.to_string())])
}

/// Whether the page speaks English as it is written.
pub fn is_english() -> bool {
    SPOKEN.get() == FILES[0].0
}

/// The text in the language that is spoken, and in no other.
fn spoken(key: &str) -> Option<&'static str> {
    language(SPOKEN.get()).texts.get(key)?.as_str()
}

fn english(key: &str) -> Option<&'static str> {
    language(FILES[0].0).texts.get(key)?.as_str()
}

/// The language called `name`, read once; what is no file is English, disguised.
#[inline(never)]
fn language(name: &'static str) -> &'static Language {
    let read = READ.with_borrow(|read| read.iter().find(|language| language.name == name).copied());
    read.unwrap_or_else(|| {
        let (_, json) = FILES.iter().find(|file| file.0 == name).unwrap_or(&FILES[0]);
        // As everything else here is read: each way of reading adds to the page.
        let mut texts = match serde_json::from_slice(json.as_bytes()) {
            Ok(Value::Object(texts)) => texts,
            _ => Map::new(),
        };
        pseudo::disguise(name, &mut texts);
        // A page speaks few languages, each for as long as it is open.
        let language: &'static Language = Box::leak(Box::new(Language { name, texts }));
        READ.with_borrow_mut(|read| read.push(language));
        language
    })
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// To be said as it is.
    Words(&'a str),
    /// The name of what is put in.
    Slot(&'a str),
}

/// The parts of `text`, in their order.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if let Some((name, behind)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            rest = behind;
            return Some(Piece::Slot(name));
        }
        let mut places = rest.char_indices();
        places.next()?;
        let end = places.find(|place| place.1 == '{').map_or(rest.len(), |place| place.0);
        let (words, behind) = rest.split_at(end);
        rest = behind;
        Some(Piece::Words(words))
    })
}

/// `text` with `values` in its slots; a slot without a value stays, and what is put in is not looked at again.
#[inline(never)]
pub fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Words(words) => filled += words,
            Piece::Slot(name) => match values.iter().find(|value| value.0 == name) {
                Some((_, value)) => filled += value,
                None => filled.extend(["{", name, "}"]),
            },
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled_once_and_in_any_order() {
        let values = [("a", "{b}"), ("b", "2")];
        for (text, filled) in [
            ("", ""),
            ("{b} of {a}", "2 of {b}"),
            ("{a}{b}", "{b}2"),
            ("{c} ü{b}", "{c} ü2"),
            ("{open", "{open"),
            ("a } b", "a } b"),
        ] {
            assert_eq!(fill(text, &values), filled, "{text}");
        }
    }

    #[test]
    fn a05_a_missing_text_is_said_in_english_and_else_by_its_key() {
        SPOKEN.set("de");
        assert_eq!(text("label.fake"), "Gefälscht");
        assert_eq!(text("nowhere"), "nowhere");
        assert_eq!(find("nowhere"), None);
        let empty = Language { name: "xx", texts: Map::new() };
        READ.with_borrow_mut(|read| read.push(Box::leak(Box::new(empty))));
        SPOKEN.set("xx");
        assert_eq!(text("label.fake"), "Fake");
        assert_eq!(text("nowhere"), "nowhere");
    }

    #[test]
    fn one_and_several_are_told_apart() {
        let keys = ["status.judging.one", "status.judging.other"];
        assert_eq!(text_counted(1, keys), "Judging; one more file waits.");
        assert_eq!(text_counted(3, keys), "Judging; 3 more files wait.");
    }
}
