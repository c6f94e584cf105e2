//! The page of a bundle for the stranger who unpacks it, and the examples that lie beside it.

use engine::bundle::{FileEntry, NetworkFormat, Role, Stage};
use engine::{Manifest, Thresholds};

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
        ("{stages}", stages(manifest)),
        // Last, so that nothing is looked for in them.
        ("{version}", manifest.version.clone()),
        ("{licence}", manifest.licence.clone()),
        ("{name}", manifest.name.clone()),
    ];
    places.iter().fold(PAGE.to_owned(), |page, (place, text)| page.replace(place, text))
}

/// A table of the stages behind the numbers above, which are the first one's but for the verdict; nothing where there is one.
fn stages(manifest: &Manifest) -> String {
    if manifest.stages.len() == 1 {
        return String::new();
    }
    let row = |stage: &Stage| {
        let side = match stage.role {
            Role::Meta => "what the others gave".to_owned(),
            _ => format!("{0} x {0}", manifest.preprocess_of(stage).size),
        };
        let least = stage.min_side.map_or_else(String::new, |least| format!("crops from {least} pixels on"));
        let Thresholds { lower, upper } = manifest.thresholds_of(stage);
        let sure = match stage.role {
            Role::Expert if manifest.stages.iter().any(|stage| stage.role == Role::Meta) => String::new(),
            _ => format!("real up to {lower}, fake from {upper} on"),
        };
        format!("| {} | {side} | {} | {sure} | {least} |", stage.name, stage.temperature)
    };
    let rows: Vec<String> = manifest.stages.iter().map(row).collect();
    let head = "| stage | input | divisor of its logit | sure | asked about |\n|---|---|---|---|---|";
    format!("\n\nA stage that is not sure asks the next one:\n\n{head}\n{}", rows.join("\n"))
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
        assert!(!page.contains("asks the next one"), "{page}");
    }

    #[test]
    fn a_page_of_several_stages_tells_what_each_takes() {
        let manifest = include_bytes!("../../../models/cascade/manifest.json");
        let page = readme(&Manifest::parse(manifest).expect("the manifest of the repository"));
        assert!(!page.contains(['{', '}']), "{page}");
        assert!(page.contains("| efficientnet | 224 x 224 | 1.27"), "{page}");
        assert!(page.contains("| crops from 160 pixels on |"), "{page}");
    }
}
