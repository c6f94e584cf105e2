//! Which language is spoken: the address says it (`?lang=de`), else the browser. Nothing is stored.

use super::{FILES, SPOKEN, pseudo};
use wasm_bindgen::JsValue;
use web_sys::Window;

/// Names of the languages, as in addresses and in `lang`.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.0)
}

/// The name of `language` in itself.
pub fn own_name(name: &'static str) -> &'static str {
    super::language(name).texts.get("language.name").and_then(|name| name.as_str()).unwrap_or(name)
}

/// The language that is spoken.
pub fn current() -> &'static str {
    SPOKEN.get()
}

/// What `lang` says of the texts: that of a pseudo-language is English.
pub fn tag() -> &'static str {
    names().find(|name| *name == current()).unwrap_or(FILES[0].0)
}

/// Speaks what the address and the browser wish for from now on.
pub fn choose(window: &Window) {
    let search = window.location().search().unwrap_or_default();
    let preferred = window.navigator().languages();
    SPOKEN.set(chosen(&search, preferred.iter().filter_map(|tag| tag.as_string())));
}

/// Lets the address say `name`, and the page hear of it.
///
/// # Errors
/// If the browser refuses the address.
pub fn wish(window: &Window, name: &str) -> Result<(), JsValue> {
    let location = window.location();
    let address = format!("{}{}", with_language(&location.search()?, name), location.hash()?);
    window.history()?.replace_state_with_url(&JsValue::NULL, "", Some(&address))?;
    // What browsers say when the visitor wishes for another language in their settings.
    window.dispatch_event(&web_sys::Event::new("languagechange")?).map(|_| ())
}

/// `search`, the part of an address from `?` on, with the wish for `name`.
pub fn with_language(search: &str, name: &str) -> String {
    let parts = search.trim_start_matches('?').split('&');
    let others = parts.filter(|part| !part.is_empty() && !part.starts_with("lang="));
    let parts: Vec<String> = others.map(str::to_owned).chain([format!("lang={name}")]).collect();
    format!("?{}", parts.join("&"))
}

/// The language that `search` names, else the first of `preferred` that is spoken here, else English.
fn chosen(search: &str, preferred: impl Iterator<Item = String>) -> &'static str {
    let parts = search.trim_start_matches('?').split('&');
    let asked = parts.filter_map(|part| part.strip_prefix("lang=")).map(str::to_owned);
    asked.chain(preferred).find_map(|tag| known(&tag)).unwrap_or(FILES[0].0)
}

/// The language of `tag`, whose region does not matter.
fn known(tag: &str) -> Option<&'static str> {
    let tag = tag.to_ascii_lowercase();
    let primary = tag.split('-').next().unwrap_or_default();
    names().chain([pseudo::LONG, pseudo::RTL]).find(|name| *name == tag || *name == primary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_comes_before_the_browser_and_english_is_last() {
        for (search, preferred, name) in [
            ("", "", "en"),
            ("", "de-AT en", "de"),
            ("", "en-GB de", "en"),
            ("", "fr de", "de"),
            ("?lang=de", "en", "de"),
            ("?backend=cpu&lang=DE", "en", "de"),
            ("?lang=en", "de", "en"),
            ("?lang=xx", "de", "de"),
            ("?lang=", "fr", "en"),
            ("?lang=x-rtl", "de", "x-rtl"),
        ] {
            assert_eq!(chosen(search, preferred.split(' ').map(str::to_owned)), name, "{search} {preferred}");
        }
    }

    #[test]
    fn a_wish_keeps_the_other_wishes() {
        assert_eq!(with_language("", "de"), "?lang=de");
        assert_eq!(with_language("?backend=cpu&lang=en", "de"), "?backend=cpu&lang=de");
    }

    #[test]
    fn each_language_calls_itself_by_its_own_name() {
        assert_eq!(names().map(own_name).collect::<Vec<_>>(), ["English", "Deutsch"]);
    }
}
