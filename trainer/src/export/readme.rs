//! The page of a bundle for the stranger who unpacks it, and the examples that lie beside it.

use engine::Manifest;
use engine::bundle::{FileEntry, NetworkFormat};

/// Name of the page in a bundle.
pub const README_NAME: &str = "README.md";
/// Name of the model card in a bundle.
pub const CARD_NAME: &str = "MODEL_CARD.md";

/// Programs that load the bundle they lie in: name and text.
pub const EXAMPLES: [(&str, &str); 3] = [
    ("example_native.rs", include_str!("../../../engine/examples/judge.rs")),
    ("example_page.html", include_str!("../../../web/examples/example_page.html")),
    ("example_page.mjs", include_str!("../../../web/examples/example_page.mjs")),
];

/// The page, with places for a bundle's texts and numbers.
const PAGE: &str = include_str!("readme/page.md");
/// Its part about the examples.
const EXAMPLES_PART: &str = include_str!("readme/examples.md");

/// The page of a bundle whose manifest lists every file but the page itself.
pub fn readme(manifest: &Manifest) -> String {
    let row = |entry: &FileEntry| {
        format!("| `{}` | {} | {} |", entry.name, purpose(manifest, &entry.name), entry.bytes)
    };
    let files: Vec<String> = manifest.files.iter().map(row).collect();
    let has_examples = manifest.file(EXAMPLES[0].0).is_some();
    let temperature = manifest.stages.first().map_or(1.0, |stage| stage.temperature);
    let (preprocess, thresholds) = (&manifest.preprocess, manifest.thresholds);
    let places = [
        ("{files}", files.join("\n")),
        ("{examples}", if has_examples { EXAMPLES_PART.to_owned() } else { String::new() }),
        ("{size}", preprocess.size.to_string()),
        ("{mean}", format!("{:?}", preprocess.mean)),
        ("{std}", format!("{:?}", preprocess.std)),
        ("{temperature}", temperature.to_string()),
        ("{lower}", thresholds.lower.to_string()),
        ("{upper}", thresholds.upper.to_string()),
        // Last, so that nothing is looked for in them.
        ("{version}", manifest.version.clone()),
        ("{licence}", manifest.licence.clone()),
        ("{name}", manifest.name.clone()),
    ];
    places.iter().fold(PAGE.to_owned(), |page, (place, text)| page.replace(place, text))
}

/// What the file called `name` is for.
fn purpose(manifest: &Manifest, name: &str) -> String {
    let numbers = |format: &Option<NetworkFormat>| {
        format.map_or_else(String::new, |format| {
            format!(", weights {}, activations {}", format.weights.name(), format.activations.name())
        })
    };
    if let Some(stage) = manifest.stages.iter().find(|stage| stage.file == name) {
        return format!("the network of {}{}", stage.name, numbers(&stage.format));
    }
    if let Some(other) = manifest.others.iter().find(|other| other.file == name) {
        return format!("for other runtimes ({}){}", other.runtime, numbers(&other.format));
    }
    if manifest.golden.as_deref() == Some(name) {
        return "golden vectors".into();
    }
    match name {
        CARD_NAME => "what it was trained on, how good it is, what it cannot do".into(),
        _ if name.starts_with("example_") => "example".into(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_the_page_is_filled() {
        let manifest = include_bytes!("../../../models/first/manifest.json");
        let page = readme(&Manifest::parse(manifest).expect("the manifest of the repository"));
        assert!(!page.contains(['{', '}']), "{page}");
        assert!(page.contains("| `stage1.onnx` | the network of stage1"), "{page}");
        assert!(page.contains("example_page.html"), "{page}");
    }
}
