//! Published weights become a network to start from, and nothing else does.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use candle_core::{Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::{Command, Output};
use trainer::checkpoint::Checkpoint;
use trainer::import::{Classifier, ImportError, take_weights};
use trainer::models::{Model, lock};
use trainer::tensors::TensorsError;
use trainer::train::Network;

const PRESET: &str = "mobilenetv4-conv-small";

/// Type, shape and bytes.
type Raw = (Dtype, Vec<usize>, Vec<u8>);

/// Tensors of a file that is about to be written, by name.
type File = BTreeMap<String, Raw>;

fn floats(shape: &[usize], values: impl IntoIterator<Item = f32>) -> Raw {
    (Dtype::F32, shape.to_vec(), values.into_iter().flat_map(f32::to_le_bytes).collect())
}

/// What timm saves of `network` with a classifier of 1000 classes: its tensors, and a counter for each batch norm.
fn timm_file(network: &Network) -> File {
    let mut file = File::new();
    for (name, variable) in lock(&network.variables).iter() {
        let values = variable.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (shape, values) = match name.as_str() {
            "classifier.weight" => (vec![1000, values.len()], values.repeat(1000)),
            "classifier.bias" => (vec![1000], values.repeat(1000)),
            _ => (variable.dims().to_vec(), values),
        };
        file.insert(name.clone(), floats(&shape, values));
        if let Some(norm) = name.strip_suffix(".running_mean") {
            let counter = (Dtype::I64, Vec::new(), 7_i64.to_le_bytes().to_vec());
            file.insert(format!("{norm}.num_batches_tracked"), counter);
        }
    }
    file
}

fn bytes(file: &File) -> Vec<u8> {
    let views = file
        .iter()
        .map(|(name, (kind, shape, bytes))| (name, TensorView::new(*kind, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn values(network: &Network) -> HashMap<String, Vec<f32>> {
    let of = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
    lock(&network.variables).iter().map(|(name, variable)| (name.clone(), of(variable))).collect()
}

fn refusal(bytes: &[u8]) -> ImportError {
    let network = Network::new(PRESET, 1, &Device::Cpu).unwrap();
    let before = values(&network);
    let error = take_weights(&network.variables, bytes).unwrap_err();
    assert_eq!(values(&network), before, "{error}: and yet something was set");
    println!("{error}");
    error
}

fn tensors_refusal(bytes: &[u8]) -> TensorsError {
    match refusal(bytes) {
        ImportError::Tensors(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn every_preset_takes_weights_under_timms_names() {
    for preset in Model::presets() {
        let theirs = Network::new(preset, 5, &Device::Cpu).unwrap();
        let ours = Network::new(preset, 6, &Device::Cpu).unwrap();
        let fresh = values(&ours);
        let classifier = take_weights(&ours.variables, &bytes(&timm_file(&theirs))).unwrap();
        assert_eq!(classifier, Classifier::Fresh { classes: 1000 }, "{preset}");
        let (taken, theirs) = (values(&ours), values(&theirs));
        for (name, values) in &taken {
            let from = if name.starts_with("classifier.") { &fresh } else { &theirs };
            assert!(*values == from[name], "{preset}: {name}");
        }
    }
}

#[test]
fn one_logit_is_taken_as_it_is() {
    let (theirs, ours) =
        (Network::new(PRESET, 5, &Device::Cpu).unwrap(), Network::new(PRESET, 6, &Device::Cpu).unwrap());
    let mut file = timm_file(&theirs);
    for name in ["classifier.weight", "classifier.bias"] {
        let variable = lock(&theirs.variables)[name].clone();
        let of = variable.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        file.insert(name.into(), floats(variable.dims(), of));
    }
    assert_eq!(take_weights(&ours.variables, &bytes(&file)), Ok(Classifier::Taken));
    assert!(values(&ours) == values(&theirs));
}

#[test]
fn m05_a_tensor_that_does_not_fit_is_named() {
    let sound = timm_file(&Network::new(PRESET, 5, &Device::Cpu).unwrap());
    let with = |alter: &dyn Fn(&mut File)| {
        let mut file = sound.clone();
        alter(&mut file);
        tensors_refusal(&bytes(&file))
    };
    let shape = |name: &str, found: &[usize], expected: &[usize]| TensorsError::Shape {
        name: name.into(),
        found: found.to_vec(),
        expected: expected.to_vec(),
    };
    let stem = "conv_stem.weight";

    let missing = with(&|file| drop(file.remove("bn1.bias")));
    assert_eq!(missing, TensorsError::Missing { name: "bn1.bias".into() });

    let extra = with(&|file| drop(file.insert("bn9.weight".into(), floats(&[1], [0.0]))));
    assert_eq!(extra, TensorsError::Extra { names: vec!["bn9.weight".into()] });

    let renamed = with(&|file| {
        let tensor = file.remove(stem).unwrap();
        file.insert("stem.weight".into(), tensor);
    });
    assert_eq!(renamed, TensorsError::Extra { names: vec!["stem.weight".into()] });

    let counter = with(&|file| drop(file.insert("bn9.num_batches_tracked".into(), floats(&[], [0.0]))));
    assert_eq!(counter, TensorsError::Extra { names: vec!["bn9.num_batches_tracked".into()] });

    let larger = with(&|file| drop(file.insert(stem.into(), floats(&[32, 3, 5, 5], vec![0.0; 2400]))));
    assert_eq!(larger, shape(stem, &[32, 3, 5, 5], &[32, 3, 3, 3]));

    let turned = with(&|file| file.get_mut("conv_head.weight").unwrap().1 = vec![960, 1280, 1, 1]);
    assert_eq!(turned, shape("conv_head.weight", &[960, 1280, 1, 1], &[1280, 960, 1, 1]));

    let narrow = with(&|file| {
        file.insert("classifier.weight".into(), floats(&[1000, 768], vec![0.0; 768_000]));
    });
    assert_eq!(narrow, shape("classifier.weight", &[1000, 768], &[1000, 1280]));

    let uneven = with(&|file| drop(file.insert("classifier.bias".into(), floats(&[999], vec![0.0; 999]))));
    assert_eq!(uneven, shape("classifier.bias", &[999], &[1000]));

    let half = with(&|file| {
        file.insert(stem.into(), (Dtype::F16, vec![32, 3, 3, 3], vec![0; 1728]));
    });
    assert_eq!(half, TensorsError::Type { name: stem.into(), found: "F16".into() });

    for value in [f32::NAN, f32::INFINITY] {
        let spoilt = with(&|file| file.get_mut(stem).unwrap().2[..4].copy_from_slice(&value.to_le_bytes()));
        assert_eq!(spoilt, TensorsError::NotFinite { name: stem.into() });
    }
}

/// A file of this `header` and `content` bytes of zeros.
fn raw(header: &str, content: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.resize(file.len() + content, 0);
    file
}

#[test]
fn m05_hostile_headers_are_refused() {
    let entry = |name: &str, shape: &str, from: u64, to: u64| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let file = |entries: &[String], content| raw(&format!("{{{}}}", entries.join(",")), content);
    let huge = u64::MAX;
    let damaged = [
        ("nothing", Vec::new()),
        ("seven bytes", vec![0; 7]),
        ("a header past the end", raw("{}", 0)[..9].to_vec()),
        ("no JSON", raw("{\"a\":", 0)),
        ("no UTF-8", [&2_u64.to_le_bytes()[..], &[0xff, 0xfe]].concat()),
        ("a list", raw("[]", 0)),
        ("an unknown type", raw(r#"{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, 4)),
        ("a negative extent", file(&[entry("a", "[-1]", 0, 4)], 4)),
        ("two that overlap", file(&[entry("a", "[2]", 0, 8), entry("b", "[2]", 4, 12)], 12)),
        ("two in one place", file(&[entry("a", "[2]", 0, 8), entry("b", "[2]", 0, 8)], 8)),
        ("empty ones inside another", file(&[entry("a", "[2]", 0, 8), entry("b", "[0]", 4, 4)], 8)),
        ("a gap", file(&[entry("a", "[1]", 0, 4), entry("b", "[1]", 8, 12)], 12)),
        ("an end before its start", file(&[entry("a", "[1]", 4, 0)], 4)),
        ("fewer bytes than the shape", file(&[entry("a", "[3]", 0, 8)], 8)),
        ("more content than tensors", file(&[entry("a", "[1]", 0, 4)], 8)),
        ("less content than tensors", file(&[entry("a", "[2]", 0, 8)], 4)),
        ("a shape past all numbers", file(&[entry("a", "[4294967296,4294967296,4]", 0, 4)], 4)),
        ("bytes past all numbers", file(&[entry("a", "[9223372036854775807]", 0, 4)], 4)),
        ("offsets past all numbers", file(&[entry("a", "[1]", huge - 3, huge)], 4)),
    ];
    for (name, bytes) in &damaged {
        let error = tensors_refusal(bytes);
        assert!(matches!(error, TensorsError::Damaged(_)), "{name}: {error}");
    }

    for length in [(1 << 20) + 1, 100_000_001, u64::MAX] {
        let mut giant = raw("{}", 0);
        giant[..8].copy_from_slice(&length.to_le_bytes());
        assert_eq!(tensors_refusal(&giant), TensorsError::HeaderTooLarge { bytes: length });
    }
    let many = |count: u64| -> Vec<u8> {
        let entries: Vec<String> =
            (0..count).map(|i| entry(&format!("t{i}"), "[1]", 4 * i, 4 * i + 4)).collect();
        file(&entries, 4 * count as usize)
    };
    assert_eq!(tensors_refusal(&many(4097)), TensorsError::TooMany { count: 4097 });
    assert!(matches!(tensors_refusal(&many(4096)), TensorsError::Extra { .. }));
    assert!(matches!(tensors_refusal(&many(100_000)), TensorsError::HeaderTooLarge { .. }));
}

#[test]
fn a_file_cut_anywhere_or_with_flipped_bits_is_no_network() {
    let sound = bytes(&timm_file(&Network::new(PRESET, 5, &Device::Cpu).unwrap()));
    let network = Network::new(PRESET, 1, &Device::Cpu).unwrap();
    for cut in (0..200).chain((200..sound.len()).step_by(sound.len() / 50)) {
        assert!(take_weights(&network.variables, &sound[..cut]).is_err(), "cut at {cut}");
    }
    // Flips in the header are refused or change nothing that is read; none may panic.
    for index in (0..2000).step_by(7) {
        let mut flipped = sound.clone();
        flipped[index] ^= 1 << (index % 8);
        let _ = take_weights(&network.variables, &flipped);
    }
}

#[test]
fn genconvits_weights_and_pickles_are_refused_with_the_reason() {
    let mut file = timm_file(&Network::new(PRESET, 5, &Device::Cpu).unwrap());
    file.insert("backbone.patch_embed.backbone.norm.weight".into(), floats(&[1], [1.0]));
    let error = refusal(&bytes(&file));
    assert_eq!(error, ImportError::GenConViT);
    for reason in ["GPL-3.0", "Swin branch", "695 M"] {
        assert!(error.to_string().contains(reason), "{error}");
    }
    let zip = b"PK\x03\x04 archive/data.pkl ... encoder.features.0.weight ...";
    assert_eq!(refusal(zip), ImportError::GenConViT);
    assert_eq!(refusal(b"PK\x03\x04 archive/data.pkl ... layer1.weight ..."), ImportError::Pickle);
    assert_eq!(refusal(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."), ImportError::Pickle);
}

fn import(weights: &Path, output: &Path) -> Output {
    let mut aware = Command::new(env!("CARGO_BIN_EXE_aware"));
    aware.args(["import", "--network", PRESET, "--weights"]).arg(weights).arg("--output").arg(output);
    aware.output().unwrap()
}

#[test]
fn the_program_writes_a_checkpoint_or_says_why_not() {
    let folder = common::folder("import");
    let (weights, output) = (folder.join("timm.safetensors"), folder.join("start.safetensors"));
    let theirs = Network::new(PRESET, 5, &Device::Cpu).unwrap();
    std::fs::write(&weights, bytes(&timm_file(&theirs))).unwrap();
    let done = import(&weights, &output);
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(text.contains("1000 classes") && text.contains("fresh logit (seed 1)"), "{text}");
    let restored = Network::from_checkpoint(&Checkpoint::read(&output).unwrap(), &Device::Cpu).unwrap();
    assert!(values(&restored)["conv_stem.weight"] == values(&theirs)["conv_stem.weight"]);

    let absent = folder.join("absent.safetensors");
    let (pickle, none) = (folder.join("genconvit_ed_inference.pth"), folder.join("none.safetensors"));
    std::fs::write(&pickle, b"PK\x03\x04 backbone.patch_embed.backbone.norm.weight").unwrap();
    for (weights, reason) in
        [(&absent, "absent.safetensors"), (&pickle, "GPL-3.0"), (&folder, "regular file")]
    {
        let done = import(weights, &none);
        let text = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{text}");
        assert!(text.contains(reason) && text.contains("cannot read"), "{text}");
        assert!(!none.exists());
    }
}
