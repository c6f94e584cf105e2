//! What a manifest may say, what it may not, and what golden vectors find; natively and as WebAssembly.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use engine::bundle::{Bundle, FileEntry, Manifest, Precision};
use engine::golden::{GOLDEN_NAME, Golden, MAX_VECTORS};
use engine::pattern::Pattern;
use engine::runtime::proto::{
    ATTRIBUTE_INT, AttributeProto, DimensionProto, FLOAT, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use engine::{Detector, Error, ErrorCode};
use prost::Message;
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Side of the toy network's input.
const SIDE: usize = 32;

/// A network of 32 x 32 pixels whose logit is a weighted sum of the mean colours.
fn network(weights: [f32; 3]) -> Vec<u8> {
    let value = |name: &str, shape: &[usize]| {
        let extent = |&extent: &usize| DimensionProto { dim_value: Some(extent as i64), dim_param: None };
        let shape = Some(TensorShapeProto { dim: shape.iter().map(extent).collect() });
        let tensor_type = Some(TensorTypeProto { elem_type: FLOAT, shape });
        ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
    };
    let constant = |name: &str, dims: &[i64], values: &[f32]| TensorProto {
        dims: dims.to_vec(),
        data_type: FLOAT,
        name: name.into(),
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    };
    let node = |op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>| NodeProto {
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: op.into(),
        attribute,
        ..NodeProto::default()
    };
    let turned =
        AttributeProto { name: "transB".into(), i: 1, r#type: ATTRIBUTE_INT, ..AttributeProto::default() };
    let graph = GraphProto {
        name: "toy".into(),
        node: vec![
            node("GlobalAveragePool", &["image"], "mean", Vec::new()),
            node("Flatten", &["mean"], "colours", Vec::new()),
            node("Gemm", &["colours", "weight", "bias"], "logit", vec![turned]),
        ],
        initializer: vec![constant("weight", &[1, 3], &weights), constant("bias", &[1], &[0.125])],
        input: vec![value("image", &[1, 3, SIDE, SIDE])],
        output: vec![value("logit", &[1, 1])],
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 13 }];
    ModelProto { ir_version: 8, graph: Some(graph), opset_import, ..ModelProto::default() }.encode_to_vec()
}

/// A sound manifest over `files`.
fn manifest_of(files: &[(&str, &[u8])]) -> Value {
    let entries: Vec<FileEntry> = files.iter().map(|(name, content)| FileEntry::of(*name, content)).collect();
    json!({
        "schema_version": "1.1",
        "name": "toy",
        "version": "0",
        "licence": "none",
        "preprocess": { "size": SIDE, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225] },
        "stages": [{ "name": "stage1", "file": "stage1.onnx", "temperature": 1.5 }],
        "thresholds": { "lower": 0.25, "upper": 0.75 },
        "files": entries,
    })
}

fn plain_manifest() -> Value {
    manifest_of(&[("stage1.onnx", b"network"), ("golden.json", b"vectors"), ("stage1.tflite", b"other")])
}

fn parse(manifest: &Value) -> Result<Manifest, Error> {
    Manifest::parse(manifest.to_string().as_bytes())
}

/// Expects that the manifest is refused after `change`, in words that hold `says`.
fn refused(says: &str, change: impl FnOnce(&mut Value)) {
    let mut manifest = plain_manifest();
    change(&mut manifest);
    let error = parse(&manifest).expect_err(says);
    assert_eq!(error.code(), ErrorCode::Manifest, "{error}");
    assert!(error.to_string().contains(says), "{says:?} is not in {error}");
}

#[test]
fn m02_a_newer_minor_is_read_and_another_major_is_not() {
    let mut manifest = plain_manifest();
    for version in ["1.0", "1.1", "1.99"] {
        manifest["schema_version"] = json!(version);
        // What a newer schema may add, in any place.
        manifest["later"] = json!({ "x": 1 });
        manifest["files"][0]["later"] = json!(1);
        manifest["stages"][0]["later"] = json!([]);
        manifest["stages"][0]["format"] =
            json!({ "weights": "ternary", "activations": "int8", "input_size": SIDE, "later": 0 });
        let read = parse(&manifest).unwrap();
        assert_eq!(read.stages[0].format.unwrap().weights, Precision::Other, "{version}");
    }
    for version in
        [json!("2.0"), json!("0.9"), json!("11.0"), json!("1"), json!("one"), json!(1.1), json!(null)]
    {
        refused("schema_version", |manifest| manifest["schema_version"] = version);
    }
}

#[test]
fn m02_what_makes_the_input_and_reads_the_output_has_no_unknown_field() {
    refused("unknown field", |manifest| manifest["preprocess"]["filter"] = json!("lanczos"));
    refused("unknown field", |manifest| manifest["thresholds"]["margin"] = json!(0.1));
}

#[test]
fn m02_m03_every_name_is_plain_and_meant_once() {
    let bad = [
        "../stage1.onnx",
        "..",
        ".",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "C:\\x",
        "C:x",
        "",
        ".hidden",
        "a b",
        "a\0b",
        "a\nb",
        "\u{e9}.onnx",
        "manifest.json",
        "Manifest.JSON",
        "a%2fb",
        "http://x/y",
        "a?b",
        "a#b",
    ];
    for name in bad {
        refused("plain file name", |manifest| manifest["files"][1]["name"] = json!(name));
    }
    refused("plain file name", |manifest| manifest["files"][1]["name"] = json!("a".repeat(129)));
    refused("twice", |manifest| manifest["files"][1]["name"] = json!("stage1.onnx"));
    refused("twice", |manifest| manifest["files"][1]["name"] = json!("Stage1.ONNX"));
    refused("does not list", |manifest| manifest["stages"][0]["file"] = json!("../stage1.onnx"));
    refused("does not list", |manifest| manifest["golden"] = json!("absent.json"));
    refused("does not list", |manifest| manifest["others"] = json!([{ "file": "/x", "runtime": "tflite" }]));
    refused("another use", |manifest| manifest["golden"] = json!("stage1.onnx"));
    refused("another use", |manifest| {
        manifest["others"] = json!([{ "file": "stage1.onnx", "runtime": "onnx" }]);
    });
    let other = json!({ "file": "stage1.tflite", "runtime": "tflite" });
    refused("another use", |manifest| manifest["others"] = json!([other, other]));
}

#[test]
fn m02_values_out_of_range_are_refused_by_their_field() {
    refused("schema_version", |manifest| *manifest = json!("text"));
    assert!(Manifest::parse(b"text").unwrap_err().to_string().contains("not JSON"));
    refused("column", |manifest| manifest["files"] = json!(null));
    refused("64", |manifest| {
        let entry = manifest["files"][0].clone();
        manifest["files"] = json!(vec![entry; 65]);
    });
    refused("sha256", |manifest| manifest["files"][0]["sha256"] = json!("ABCD"));
    refused("bytes", |manifest| manifest["files"][0]["bytes"] = json!(1_u64 << 40));
    refused("expected 1 to 8", |manifest| manifest["stages"] = json!([]));
    refused("expected 1 to 8", |manifest| {
        let stage = manifest["stages"][0].clone();
        manifest["stages"] = json!(vec![stage; 9]);
    });
    refused("temperature", |manifest| manifest["stages"][0]["temperature"] = json!(0.0));
    refused("input_size", |manifest| {
        manifest["stages"][0]["format"] =
            json!({ "weights": "int8", "activations": "int8", "input_size": 64 });
    });
    let long = [&b"{"[..], &[b' '; 1 << 20]].concat();
    assert!(Manifest::parse(&long).unwrap_err().to_string().contains("bytes"));
}

#[test]
fn a_bundle_of_loaded_files_asks_for_no_other() {
    let mut manifest = plain_manifest();
    manifest["golden"] = json!("golden.json");
    manifest["others"] = json!([{ "file": "stage1.tflite", "runtime": "tflite" }]);
    let mut asked = Vec::new();
    let bundle = Bundle::of_loaded_files(parse(&manifest).unwrap(), |entry| {
        asked.push(entry.name.clone());
        Ok(if entry.name == "golden.json" { b"vectors".to_vec() } else { b"network".to_vec() })
    });
    assert_eq!(asked, ["stage1.onnx", "golden.json"]);
    assert_eq!(bundle.unwrap().content("stage1.tflite"), None);
    let spoilt = Bundle::of_loaded_files(parse(&manifest).unwrap(), |_| Ok(b"network".to_vec()));
    assert_eq!(spoilt.unwrap_err().code(), ErrorCode::ModelIntegrity);
}

/// The toy bundle, with golden vectors as `change` leaves them.
fn bundle(weights: [f32; 3], golden: Option<&str>) -> Bundle {
    let onnx = network(weights);
    let mut files: Vec<(&str, &[u8])> = vec![("stage1.onnx", &onnx)];
    files.extend(golden.map(|json| (GOLDEN_NAME, json.as_bytes())));
    let mut manifest = manifest_of(&files);
    if golden.is_some() {
        manifest["golden"] = json!(GOLDEN_NAME);
    }
    let content = |entry: &FileEntry| {
        let found = files.iter().find(|(name, _)| *name == entry.name);
        Ok(found.map(|(_, content)| content.to_vec()).unwrap_or_default())
    };
    Bundle::new(parse(&manifest).unwrap(), content).unwrap()
}

const WEIGHTS: [f32; 3] = [0.7, -0.3, 1.1];

fn recorded(count: usize) -> Value {
    let mut detector = Detector::load(&bundle(WEIGHTS, None)).unwrap();
    serde_json::to_value(Golden::record(&mut detector, count).unwrap()).unwrap()
}

fn clock() -> f64 {
    0.0
}

#[test]
fn golden_vectors_pass_where_they_were_made() {
    for count in [1, 8, MAX_VECTORS] {
        let json = recorded(count).to_string();
        let bundle = bundle(WEIGHTS, Some(&json));
        let golden = bundle.golden().unwrap().unwrap();
        assert_eq!(golden.vectors.len(), count);
        let report = golden.check(&mut Detector::load(&bundle).unwrap(), &clock);
        assert!(report.passed, "{report:?}");
        assert!(report.vectors.iter().all(|vector| vector.difference == Some(0.0)), "{report:?}");
    }
    assert!(bundle(WEIGHTS, None).golden().unwrap().is_none());
    let mut detector = Detector::load(&bundle(WEIGHTS, None)).unwrap();
    for count in [0, MAX_VECTORS + 1] {
        assert_eq!(Golden::record(&mut detector, count).unwrap_err().code(), ErrorCode::Golden);
    }
}

#[test]
fn e6_a_batch_keeps_its_order_and_one_bad_picture_spoils_no_other() {
    let mut detector = Detector::load(&bundle(WEIGHTS, None)).unwrap();
    let real: &[u8] = include_bytes!("../../models/samples/real-1.png");
    let fake: &[u8] = include_bytes!("../../models/samples/fake-1.png");
    let alone = [real, fake].map(|bytes| detector.judge(bytes, &clock).unwrap());
    assert_ne!(alone[0].verdict.probability_fake, alone[1].verdict.probability_fake);
    let found = detector.judge_batch(&[real, b"", fake, real], &clock);
    assert_eq!(found[1].as_ref().unwrap_err().code(), ErrorCode::Empty);
    let found: Vec<_> = [0, 2, 3].iter().map(|&index| found[index].as_ref().unwrap()).collect();
    assert_eq!(found, [&alone[0], &alone[1], &alone[0]]);
}

#[test]
fn no_two_golden_vectors_are_alike() {
    let golden = recorded(MAX_VECTORS);
    let vectors = golden["vectors"].as_array().unwrap();
    for field in ["name", "input_sha256"] {
        let mut values: Vec<&str> = vectors.iter().map(|vector| vector[field].as_str().unwrap()).collect();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), MAX_VECTORS, "{field}");
    }
}

#[test]
fn one_wrong_bit_anywhere_fails_its_vector_alone() {
    let json = recorded(8);
    // A logit whose last bit differs, another input, another probability, another network.
    let mut other_logit = json.clone();
    let logit = other_logit["vectors"][3]["stages"][0]["logit"].as_f64().unwrap() as f32;
    let logit = f32::from_bits(logit.to_bits() ^ 1);
    other_logit["vectors"][3]["stages"][0] =
        json!({ "name": "stage1", "bits": format!("{:08x}", logit.to_bits()), "logit": logit });
    let mut other_input = json.clone();
    other_input["vectors"][3]["input_sha256"] = json["vectors"][2]["input_sha256"].clone();
    let mut other_probability = json.clone();
    let probability = other_probability["vectors"][3]["probability_fake"].as_f64().unwrap();
    other_probability["vectors"][3]["probability_fake"] = json!(f64::from_bits(probability.to_bits() ^ 1));
    for (spoilt, says) in [(other_logit, "logit"), (other_input, "input"), (other_probability, "P(fake)")] {
        let bundle = bundle(WEIGHTS, Some(&spoilt.to_string()));
        let report = bundle.golden().unwrap().unwrap().check(&mut Detector::load(&bundle).unwrap(), &clock);
        assert!(!report.passed, "{says}");
        for (index, vector) in report.vectors.iter().enumerate() {
            assert_eq!(vector.passed, index != 3, "{says}: {vector:?}");
        }
        let problem = report.vectors[3].problem.as_ref().unwrap();
        assert!(problem.contains(says), "{says}: {problem}");
    }
    let other_network = bundle([0.7, -0.3, 1.2], Some(&json.to_string()));
    let golden = other_network.golden().unwrap().unwrap();
    let report = golden.check(&mut Detector::load(&other_network).unwrap(), &clock);
    assert!(report.vectors.iter().any(|vector| !vector.passed), "{report:?}");
}

#[test]
fn a_network_that_gives_no_number_fails() {
    let json = recorded(8).to_string();
    let bundle = bundle([f32::MAX; 3], Some(&json));
    let report = bundle.golden().unwrap().unwrap().check(&mut Detector::load(&bundle).unwrap(), &clock);
    assert!(!report.passed);
    let white = &report.vectors[5];
    assert_eq!((white.logit, white.difference), (None, None));
    let problem = white.problem.as_ref().unwrap();
    assert!(problem.contains("not a number"), "{problem}");
}

#[test]
fn golden_vectors_that_are_none_are_refused_by_name() {
    let check = |says: &str, change: &dyn Fn(&mut Value)| {
        let mut golden = recorded(2);
        change(&mut golden);
        let error = bundle(WEIGHTS, Some(&golden.to_string())).golden().expect_err(says);
        assert_eq!(error.code(), ErrorCode::Golden, "{error}");
        assert!(error.to_string().contains(says), "{says:?} is not in {error}");
    };
    let vector = |golden: &mut Value, field: &str, value: Value| golden["vectors"][1][field] = value;
    check("schema_version", &|golden| golden["schema_version"] = json!("2.0"));
    check("0 vectors", &|golden| golden["vectors"] = json!([]));
    check("33 vectors", &|golden| {
        let one = golden["vectors"][0].clone();
        golden["vectors"] = json!(vec![one; 33]);
    });
    check("stages", &|golden| vector(golden, "stages", json!([])));
    check("stages", &|golden| golden["vectors"][1]["stages"][0]["name"] = json!("stage2"));
    check("probability_fake", &|golden| vector(golden, "probability_fake", json!(1.5)));
    for bits in ["", "7fc00000", "ff800000", "+1234567", "123456789", "0000000g"] {
        check("bits", &|golden| golden["vectors"][1]["stages"][0]["bits"] = json!(bits));
    }
    check("bits", &|golden| golden["vectors"][1]["stages"][0]["logit"] = json!(12.5));
    for (width, height) in [(0, 1), (1, 0), (1025, 1), (1, u32::MAX)] {
        check("pixels", &|golden| {
            vector(golden, "picture", json!({ "kind": "flat", "width": width, "height": height, "seed": 0 }));
        });
    }
    check("photo", &|golden| golden["vectors"][1]["picture"]["kind"] = json!("photo"));
    check("schema_version", &|golden| *golden = Value::Null);
}

#[test]
fn pictures_by_formula_are_those_of_another_implementation() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("data/patterns.json")).unwrap();
    assert_eq!(cases.len(), 25);
    for case in cases {
        let mut picture = case.clone();
        picture.as_object_mut().unwrap().remove("sha256");
        let picture: Pattern = serde_json::from_value(picture).unwrap();
        let frame = picture.frame().unwrap();
        assert_eq!(engine::bundle::sha256_hex(frame.rgb()), case["sha256"].as_str().unwrap(), "{case}");
    }
}
