//! Whether web/messages, index.html and the sources agree.

use super::{FILES, Piece, document, pieces};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type Texts = BTreeMap<String, String>;

const DOCUMENT: &str = include_str!("../../../index.html");
const ENGINE_ERRORS: &str = include_str!("../../../engine/src/error.rs");

/// Codes of failures that visitors meet only in a table of the benchmark, which is in English as its report is.
const IN_REPORTS: [&str; 4] = ["faces", "file", "stage", "subject"];

fn texts(json: &str) -> Texts {
    serde_json::from_str(json).unwrap()
}

/// The English texts by their keys.
pub fn english_texts() -> Texts {
    texts(FILES[0].1)
}

fn slots(text: &str) -> BTreeSet<&str> {
    pieces(text).filter_map(|piece| if let Piece::Slot(name) = piece { Some(name) } else { None }).collect()
}

#[test]
fn a05_every_language_has_the_keys_and_slots_of_english() {
    let english = english_texts();
    for (name, json) in FILES {
        let texts = texts(json);
        let missing: Vec<_> = english.keys().filter(|key| !texts.contains_key(*key)).collect();
        let unknown: Vec<_> = texts.keys().filter(|key| !english.contains_key(*key)).collect();
        assert!(missing.is_empty() && unknown.is_empty(), "{name}.json: lacks {missing:?}, has {unknown:?}");
        for (key, text) in &texts {
            assert_eq!(slots(text), slots(&english[key]), "{name}.json: {key}");
            assert!(!text.trim().is_empty() && text.trim() == text, "{name}.json: {key}");
        }
        let keys: Vec<&str> = json.lines().filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(keys.len(), texts.len(), "{name}.json has a key twice, or a line with two");
    }
}

#[test]
fn a05_every_key_that_is_used_exists_and_every_key_is_used() {
    let english = english_texts();
    let source = sources();
    let codes: BTreeSet<String> = quoted(&source).map(str::to_owned).chain(engine_codes()).collect();
    let in_sources = quoted(&source).filter(|text| english.contains_key(*text));
    let in_document = attributes(DOCUMENT).into_iter().map(|(_, _, key)| key);
    let mut used: BTreeSet<String> = in_sources.chain(in_document).map(str::to_owned).collect();
    used.extend(["language.name", "language.direction"].map(str::to_owned));
    used.extend(codes.iter().map(|code| format!("error.{code}")).filter(|key| english.contains_key(key)));
    let unknown: Vec<_> = used.iter().filter(|key| !english.contains_key(*key)).collect();
    let unused: Vec<_> = english.keys().filter(|key| !used.contains(*key)).collect();
    assert!(unknown.is_empty() && unused.is_empty(), "unknown: {unknown:?}, unused: {unused:?}");
    // Keys begin with the name of a group and a dot, and nothing else in the sources does.
    let groups: BTreeSet<&str> = english.keys().filter_map(|key| key.split('.').next()).collect();
    let is_key = |text: &&str| {
        let is_plain = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c));
        is_plain
            && text.split_once('.').is_some_and(|(group, rest)| groups.contains(group) && !rest.is_empty())
    };
    let unknown: Vec<_> = quoted(&source).filter(is_key).filter(|key| !english.contains_key(*key)).collect();
    assert!(unknown.is_empty(), "unknown: {unknown:?}");
}

#[test]
fn a05_every_failure_that_a_visitor_meets_has_a_text() {
    let english = english_texts();
    let source = sources();
    let made = source.split("Failure::new(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
    let made = made.filter_map(|rest| rest.split('"').next()).map(str::to_owned);
    for code in made.chain(engine_codes()).filter(|code| !IN_REPORTS.contains(&&code[..])) {
        assert!(english.contains_key(&format!("error.{code}")), "{code}");
    }
}

#[test]
fn the_english_of_the_document_is_that_of_the_messages() {
    let english = english_texts();
    let ids: Vec<&str> = DOCUMENT.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id stands there twice");
    let named = attributes(DOCUMENT);
    assert!(named.len() > 100, "{}", named.len());
    for (at, name, key) in named {
        let tag = &DOCUMENT[DOCUMENT[..at].rfind('<').unwrap()..at + DOCUMENT[at..].find('>').unwrap()];
        let text = match name.strip_prefix("data-text-") {
            None => content(DOCUMENT, at),
            Some(name) => {
                assert!(document::ATTRIBUTES.contains(&name), "{name} is not translated");
                let value = tag.split(&format!(" {name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
                value.unwrap_or_default().to_owned()
            }
        };
        assert_eq!(Some(&text), english.get(key), "{tag}");
    }
}

/// Place, name and value of each attribute of `html` that names a text.
fn attributes(html: &str) -> Vec<(usize, &str, &str)> {
    let named = html.match_indices(" data-text").map(|(at, _)| {
        let mut parts = html[at + 1..].split('"');
        (at, parts.next().unwrap().trim_end_matches('='), parts.next().unwrap())
    });
    named.collect()
}

/// What stands in the element whose tag has the place `at`, with elements in it as slots, and white space as browsers read it.
fn content(html: &str, at: usize) -> String {
    let (mut said, mut depth, mut rest) = (String::new(), 0, html[at..].split_once('>').unwrap().1);
    loop {
        let (words, behind) = rest.split_once('<').unwrap();
        if depth == 0 {
            said += words;
        }
        let (tag, behind) = behind.split_once('>').unwrap();
        rest = behind;
        match tag.strip_prefix('/') {
            Some(_) if depth == 0 => return said.split_whitespace().collect::<Vec<_>>().join(" "),
            Some(_) => depth -= 1,
            None => {
                if depth == 0 {
                    let id = tag.split(" id=\"").nth(1).and_then(|rest| rest.split('"').next());
                    said += &format!("{{{}}}", id.unwrap_or_else(|| panic!("<{tag}> has no id")));
                }
                depth += usize::from(!tag.starts_with("input"));
            }
        }
    }
}

/// The sources of the page, without their tests.
fn sources() -> String {
    fn collect(folder: &Path, text: &mut String) {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                collect(&path, text);
            } else if path.file_name().is_some_and(|name| name != "check.rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                *text += source.split("#[cfg(test)]\nmod tests").next().unwrap();
            }
        }
    }
    let mut text = String::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    text
}

/// What stands between double quotes on one line, and what stands between two such things.
fn quoted(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| line.split('"'))
}

/// The engine's codes, as they are written in JSON.
fn engine_codes() -> impl Iterator<Item = String> {
    let variants = ENGINE_ERRORS.split("=> ErrorCode::").skip(1);
    let variants = variants.filter_map(|rest| rest.split(|c: char| !c.is_alphabetic()).next());
    variants.map(|variant| {
        let parts = variant.chars().enumerate().map(|(at, letter)| match letter.is_uppercase() && at > 0 {
            true => format!("_{}", letter.to_lowercase()),
            false => letter.to_lowercase().to_string(),
        });
        parts.collect()
    })
}
