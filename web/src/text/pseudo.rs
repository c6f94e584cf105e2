//! Languages that nobody speaks, made of English: they show what a translation would break.

use serde_json::{Map, Value};

/// Texts that are longer than English, with accents: whatever is cut off, or is no text of web/messages, is seen.
pub const LONG: &str = "x-long";
/// English from right to left.
pub const RTL: &str = "x-rtl";

/// Share of a text that is added to it.
const LONGER: f64 = 0.4;

/// Makes those of the language called `name` of English `texts`, if it is one of these.
pub fn disguise(name: &str, texts: &mut Map<String, Value>) {
    for (key, value) in texts {
        let is_direction = key == "language.direction";
        // What the page reads itself, and figures, stay as they are.
        let is_said = !key.starts_with("language.") && !key.starts_with("figure.");
        match (name, value.as_str()) {
            (RTL, _) if is_direction => *value = "rtl".into(),
            (LONG, Some(text)) if is_said => *value = longer(text).into(),
            _ => {}
        }
    }
}

/// `text` with accents, and words behind it; slots stay.
fn longer(text: &str) -> String {
    let (mut accented, mut in_slot) = (String::new(), false);
    for letter in text.chars() {
        in_slot = (in_slot || letter == '{') && letter != '}';
        let at = "aeiouAEIOU".chars().position(|vowel| vowel == letter && !in_slot);
        accented.push(at.and_then(|at| "áéíóúÁÉÍÓÚ".chars().nth(at)).unwrap_or(letter));
    }
    let added = (text.chars().count() as f64 * LONGER).ceil() as usize;
    let words = "ßó lóng á tèxt ".chars().cycle().take(added);
    format!("{accented} {}", words.collect::<String>().trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_longer_and_keeps_its_slots() {
        let text = longer("{samples} frames looked at");
        assert!(text.starts_with("{samples} frámés lóókéd át ßó"), "{text}");
        assert!(text.chars().count() >= 36, "{text}");
    }
}
