//! Networks become a cascade: fitted, judged, written, loaded bit by bit.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use candle_core::Device;
use engine::bundle::{Loading, Role};
use engine::report::Mode;
use engine::{Bundle, Crop, Detector, ErrorCode, Frame, Label};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use trainer::bundle::{Existing, read_bundle};
use trainer::dataset::write_manifest;
use trainer::deployment::DeploymentConfig;
use trainer::export::{BundleSource, Origin, onnx_bytes, write_bundle};
use trainer::fit_cascade::{CascadePlan, Naming, fit_cascade};
use trainer::prepare::prepare;
use trainer::stacking::SearchConfig;
use trainer::train::Network;
use trainer::validation::validate_bundle;

/// A plan over a toy set and networks that learned nothing; even so a checkerboard moves what they say.
fn plan(root: &Path) -> CascadePlan {
    common::toy_set(root, 60);
    let prepared = prepare(root, &[], 1, &ProgressBar::hidden()).unwrap();
    let pictures = root.join("manifest.csv");
    write_manifest(&pictures, &prepared.samples).unwrap();
    let network = |file: &str, preset: &str, side: usize| -> PathBuf {
        let network = Network::new(preset, 3, &Device::Cpu).unwrap();
        let path = root.join(file);
        std::fs::write(&path, onnx_bytes(&network.model, side, Vec::new()).unwrap()).unwrap();
        path
    };
    CascadePlan {
        pictures,
        datasets: Vec::new(),
        filter: network("small.onnx", "mobilenetv4-conv-small-narrow", 32),
        experts: vec![
            network("wide.onnx", "mobilenetv4-conv-small", 64),
            network("copying.onnx", "genconvit-tiny", 32),
        ],
        min_side: None,
        directions: 3,
        // Toy pictures are near duplicates of each other: the real ones come from two sources.
        search: SearchConfig { folds: 2, ..SearchConfig::quick() },
        uncertainty: Default::default(),
        work: root.join("work"),
    }
}

fn naming(folder: PathBuf, existing: Existing) -> Naming {
    let [name, version, licence] = ["toy", "0.0.1", "none"].map(str::to_owned);
    Naming { name, version, licence, card: b"# Toy\n".to_vec(), folder, existing }
}

fn judged(detector: &mut Detector, seed: u32) -> engine::Report {
    let frame = Frame::from_encoded(&common::toy_picture(seed, 10)).unwrap();
    detector.judge_frame(&frame, Crop::centre_square(&frame), &|| 0.0).unwrap()
}

#[test]
fn networks_become_a_cascade() {
    let root = common::folder("cascade");
    let plan = plan(&root);
    let folder = root.join("bundle");
    let hidden = ProgressBar::hidden();
    let config = DeploymentConfig::default();
    let report = fit_cascade(&plan, &naming(folder.clone(), Existing::Refuse), &config, &hidden).unwrap();

    // Files and figures.
    for file in ["report.json", "curve.csv", "curve.svg", "answers-val.json", "answers-test.json"] {
        assert!(plan.work.join(file).is_file(), "{file}");
    }
    assert_eq!(report.curve.len(), 21);
    let first = report.curve[0];
    assert_eq!((first.filtration, first.difference, first.saved), (0.0, 0.0, 0.0), "all stages always");
    assert!(report.curve.windows(2).all(|pair| pair[0].certainty >= pair[1].certainty));
    assert!((report.contribution.values().sum::<f64>() - 1.0).abs() < 1e-9, "{:?}", report.contribution);
    assert!(report.text().contains("trivial cues"), "{}", report.text());
    assert_eq!(report.statistics.judged + report.refused, (report.cascade.real + report.cascade.fake) as u64);

    // The bundle is sound, golden vectors of all stages and all.
    let validation = validate_bundle(&folder, 1);
    assert!(validation.passed, "{}", validation.text());
    let bundle = read_bundle(&folder).unwrap();
    let stages = &bundle.manifest().stages;
    let roles: Vec<Role> = stages.iter().map(|stage| stage.role).collect();
    assert_eq!(roles, [Role::Filter, Role::Expert, Role::Expert, Role::Meta]);
    let sides: Vec<u32> = stages.iter().map(|stage| bundle.manifest().preprocess_of(stage).size).collect();
    assert_eq!(sides[..3], [32, 64, 32]);
    assert_eq!(stages[0].loading, Loading::Eager);
    assert!(stages[1..].iter().all(|stage| stage.loading == Loading::Lazy));
    assert_eq!(bundle.golden().unwrap().unwrap().vectors[0].stages.len(), 4);

    // A second time nothing is asked again, and everything comes out the same.
    let times = |file: &str| std::fs::metadata(plan.work.join(file)).unwrap().modified().unwrap();
    let before = times("answers-val.json");
    let again = fit_cascade(&plan, &naming(folder.clone(), Existing::Replace), &config, &hidden).unwrap();
    assert_eq!(times("answers-val.json"), before);
    assert_eq!(
        (again.curve.len(), again.val_auc_out_of_fold),
        (report.curve.len(), report.val_auc_out_of_fold)
    );
    assert_eq!(read_bundle(&folder).unwrap().manifest().stages, *stages);

    // Written anew by the command for every bundle, it is the same one.
    let copy = root.join("copy");
    let source = BundleSource {
        origin: Origin::Bundle(&folder),
        model: None,
        optimized: None,
        also: &[],
        name: None,
        version: None,
        licence: None,
        card: None,
    };
    write_bundle(&source, &config, Existing::Refuse, &copy).unwrap();
    for entry in &bundle.manifest().files {
        let read = |folder: &Path| std::fs::read(folder.join(&entry.name)).unwrap();
        assert_eq!(read(&folder), read(&copy), "{}", entry.name);
    }
    let other = BundleSource { model: Some(&plan.filter), ..source };
    let error = write_bundle(&other, &config, Existing::Refuse, &root.join("other")).unwrap_err();
    assert!(format!("{error:#}").contains("fit-cascade"), "{error:#}");

    e12_stages_come_when_they_are_needed(&bundle);
}

/// Whether it ships follows from two figures, and the bundle is sound either way.
#[test]
fn a_meta_model_ships_where_it_knows_more_than_the_only_expert() {
    let root = common::folder("cascade-of-two");
    let all = plan(&root);
    let mut seen = Vec::new();
    for expert in &all.experts {
        let folder = root.join(format!("bundle-{}", seen.len()));
        let experts = vec![expert.clone()];
        let plan =
            CascadePlan { experts, min_side: Some(33), work: folder.with_extension("work"), ..all.clone() };
        let naming = naming(folder.clone(), Existing::Refuse);
        let report =
            fit_cascade(&plan, &naming, &DeploymentConfig::default(), &ProgressBar::hidden()).unwrap();
        let knows_more = report.val_auc_out_of_fold > report.val_auc_of_expert.unwrap();
        assert_eq!(report.has_meta_model, knows_more, "{}", report.text());
        let bundle = read_bundle(&folder).unwrap();
        let stages = &bundle.manifest().stages;
        let roles: Vec<Role> = stages.iter().map(|stage| stage.role).collect();
        let two = [Role::Filter, Role::Expert, Role::Meta];
        assert_eq!(roles, two[..if knows_more { 3 } else { 2 }]);
        assert_eq!((stages[0].min_side, stages[1].min_side), (None, Some(33)));
        let validation = validate_bundle(&folder, 1);
        assert!(validation.passed, "{}", validation.text());
        seen.push(knows_more);
    }
    println!("meta-models: {seen:?}");
}

fn e12_stages_come_when_they_are_needed(bundle: &Bundle) {
    let manifest = bundle.manifest();
    let content = |name: &str| bundle.content(name).unwrap();
    let mut asked = Vec::new();
    let eager = Bundle::of_eager_files(manifest.clone(), |entry| {
        asked.push(entry.name.clone());
        Ok(content(&entry.name).to_vec())
    });
    assert_eq!(asked, ["stage1.onnx", "golden.json"]);
    let eager = eager.unwrap();
    let mut whole = Detector::load(bundle).unwrap();
    let mut lazy = Detector::load(&eager).unwrap();
    assert!(lazy.has(0) && !lazy.has(1) && !lazy.has(3));
    // What is there gives the right bits already.
    let golden = eager.golden().unwrap().unwrap().check(&mut lazy, &|| 0.0);
    assert!(golden.passed, "{golden:?}");

    // A picture that the filter is not sure of.
    let unsure = (0..200).find(|&seed| judged(&mut whole, seed).stages.len() == 4);
    let seed = unsure.unwrap();
    let report = judged(&mut lazy, seed);
    assert_eq!((report.verdict.label, report.mode), (Label::Uncertain, Mode::Degraded));
    assert_eq!(report.missing, ["wide"]);

    // Another file is not taken.
    let mut spoilt = content("wide.onnx").to_vec();
    spoilt[1000] ^= 1;
    assert_eq!(lazy.take(1, &spoilt).unwrap_err().code(), ErrorCode::ModelIntegrity);
    assert_eq!(lazy.take(1, content("copying.onnx")).unwrap_err().code(), ErrorCode::ModelIntegrity);
    assert_eq!(lazy.take(9, &[]).unwrap_err().code(), ErrorCode::Manifest);
    assert!(!lazy.has(1));
    for (stage, description) in manifest.stages.iter().enumerate().skip(1) {
        lazy.take(stage, content(&description.file)).unwrap();
    }
    let (found, expected) = (judged(&mut lazy, seed), judged(&mut whole, seed));
    assert_eq!(found, expected);
    assert_eq!(found.verdict.decided_by, "meta");
    // A whole bundle without a file that is not lazy does not load.
    let mut strict = manifest.clone();
    strict.stages[1].loading = Loading::Eager;
    assert!(
        Bundle::of_eager_files(strict, |entry| Ok(if entry.name == "wide.onnx" {
            Vec::new()
        } else {
            content(&entry.name).to_vec()
        }))
        .is_err()
    );
}

#[test]
fn what_cannot_be_fitted_is_refused_before_anything_is_written() {
    let root = common::folder("cascade-refused");
    let plan = plan(&root);
    let refused = |plan: &CascadePlan, says: &str| {
        let folder = root.join("refused");
        let naming = naming(folder.clone(), Existing::Refuse);
        let error =
            fit_cascade(plan, &naming, &DeploymentConfig::default(), &ProgressBar::hidden()).unwrap_err();
        assert!(format!("{error:#}").contains(says), "{says:?} is not in {error:#}");
        assert!(!folder.exists());
    };
    refused(&CascadePlan { experts: Vec::new(), ..plan.clone() }, "needs an expert");
    refused(
        &CascadePlan { experts: vec![plan.experts[0].clone(); 2], ..plan.clone() },
        "two networks are called",
    );
    refused(&CascadePlan { experts: vec![root.join("absent.onnx")], ..plan.clone() }, "absent.onnx");
    refused(&CascadePlan { filter: plan.pictures.clone(), ..plan.clone() }, "manifest.csv");
    let search = SearchConfig { folds: 60, ..plan.search };
    refused(&CascadePlan { search, ..plan.clone() }, "folds is 60");
}
