//! Every way through the cascade, with answers in place of networks; natively and as WebAssembly.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use engine::bundle::{FileEntry, Manifest, Role};
use engine::pattern::{Pattern, PatternKind};
use engine::report::{Cost, Mode, Notice};
use engine::stability::View;
use engine::uncertainty::widened;
use engine::verdict::probability_fake;
use engine::{
    Cascade, Crop, Error, ErrorCode, Frame, Label, Next, Preset, Report, Statistics, Tensor, Thresholds,
};
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Divisor of the filter's logits.
const TEMPERATURE: f64 = 1.5;

/// Filter, two experts, meta-model; thresholds of the filter 0.25 and 0.75, of the meta-model 0.3 and 0.6.
fn manifest(views: &[View]) -> Value {
    let files = ["filter.onnx", "a.onnx", "b.onnx", "meta.onnx"];
    let entries: Vec<FileEntry> = files.iter().map(|name| FileEntry::of(*name, name.as_bytes())).collect();
    let preprocess = |size: u32| json!({ "size": size, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25] });
    json!({
        "schema_version": "1.3",
        "name": "toy",
        "version": "0",
        "licence": "none",
        "preprocess": preprocess(48),
        "stages": [
            {
                "name": "filter", "file": "filter.onnx", "temperature": TEMPERATURE, "multiply_adds": 10,
                "thresholds": { "lower": 0.25, "upper": 0.75 },
            },
            {
                "name": "a", "role": "expert", "file": "a.onnx", "temperature": 2.0, "multiply_adds": 200,
                "preprocess": preprocess(64), "loading": "lazy",
            },
            {
                "name": "b", "role": "expert", "file": "b.onnx", "temperature": 1.0, "multiply_adds": 3000,
                "loading": "lazy",
            },
            { "name": "meta", "role": "meta", "file": "meta.onnx", "temperature": 1.0, "multiply_adds": 0, "loading": "lazy" },
        ],
        "thresholds": { "lower": 0.3, "upper": 0.6 },
        "uncertainty": { "views": views, "gain": 1.0 },
        "files": entries,
    })
}

fn cascade(manifest: &Value) -> Cascade {
    Cascade::new(Manifest::parse(manifest.to_string().as_bytes()).unwrap())
}

fn frame() -> Frame {
    Pattern { kind: PatternKind::Waves, width: 120, height: 90, seed: 1 }.frame().unwrap()
}

fn row(values: &[f32]) -> Tensor {
    Tensor::from_vec(vec![1, values.len()], values.to_vec())
}

/// What the networks answer, and what they were asked.
struct Fakes {
    /// The filter's logit for the picture.
    filter: f32,
    /// The filter's logits for the views.
    views: Vec<f32>,
    /// The meta-model's P(fake); nothing if the meta-model is missing.
    meta: Option<f32>,
    /// Whether the second expert is there.
    has_b: bool,
}

impl Default for Fakes {
    fn default() -> Self {
        Fakes { filter: 0.0, views: Vec::new(), meta: Some(0.5), has_b: true }
    }
}

impl Fakes {
    /// The report, and the stages in the order in which they were asked.
    fn judge(&self, cascade: &Cascade) -> (Report, Vec<usize>) {
        let frame = frame();
        let mut judgement = cascade.begin(&frame, Crop::centre_square(&frame)).unwrap();
        let (mut asked, mut views) = (Vec::new(), self.views.iter());
        loop {
            let (stage, input) = match judgement.next() {
                Next::Done(report) => return (*report, asked),
                Next::Run { stage, input } => (stage, input),
            };
            let is_first = asked.is_empty();
            asked.push(stage);
            let sides = [48, 64, 48];
            if stage < 3 {
                assert_eq!(input.shape(), [1, 3, sides[stage], sides[stage]]);
            }
            let outputs = match stage {
                0 if is_first => vec![row(&[self.filter])],
                0 => vec![row(&[*views.next().expect("a view too many")])],
                1 => vec![row(&[1.25]), row(&[7.0, 8.0])],
                2 if self.has_b => vec![row(&[-2.5])],
                3 if self.meta.is_some() => {
                    assert_eq!(
                        input.values(),
                        [self.filter, 1.25, 7.0, 8.0, -2.5],
                        "features in their order"
                    );
                    let fake = self.meta.unwrap();
                    vec![row(&[1.0 - fake, fake])]
                }
                _ => {
                    judgement.missing(stage).unwrap();
                    continue;
                }
            };
            judgement.supply(stage, &outputs, 1.0, "fake").unwrap();
        }
    }
}

/// The logit whose P(fake) at the filter's temperature is `p`, about.
fn logit(p: f64) -> f32 {
    (TEMPERATURE * (p / (1.0 - p)).ln()) as f32
}

#[test]
fn e1_each_branch_has_its_decider_and_its_label() {
    struct Case {
        filter: f64,
        meta: f32,
        label: Label,
        by: &'static str,
        asked: &'static [usize],
    }
    let cases = [
        Case { filter: 0.1, meta: 0.9, label: Label::Real, by: "filter", asked: &[0] },
        Case { filter: 0.9, meta: 0.1, label: Label::Fake, by: "filter", asked: &[0] },
        Case { filter: 0.5, meta: 0.1, label: Label::Real, by: "meta", asked: &[0, 1, 2, 3] },
        Case { filter: 0.5, meta: 0.9, label: Label::Fake, by: "meta", asked: &[0, 1, 2, 3] },
        Case { filter: 0.5, meta: 0.5, label: Label::Uncertain, by: "meta", asked: &[0, 1, 2, 3] },
    ];
    for Case { filter, meta, label, by, asked } in cases {
        let fakes = Fakes { filter: logit(filter), meta: Some(meta), ..Fakes::default() };
        let (report, order) = fakes.judge(&cascade(&manifest(&[])));
        assert_eq!(
            (report.verdict.label, report.verdict.decided_by.as_str()),
            (label, by),
            "{filter} {meta}"
        );
        assert_eq!(order, asked, "{filter} {meta}");
        let expected =
            if by == "filter" { probability_fake(logit(filter), TEMPERATURE) } else { f64::from(meta) };
        assert_eq!(report.verdict.probability_fake, expected);
        assert_eq!((report.mode, report.missing.len(), report.uncertainty), (Mode::Complete, 0, None));
        let spent = if by == "filter" { 10 } else { 3210 };
        assert_eq!(report.multiply_adds, Some(Cost { spent, all_stages: 3210 }));
    }
}

#[test]
fn e1_an_expert_without_a_meta_model_decides_itself() {
    let mut manifest = manifest(&[View::Closer]);
    let stages = manifest["stages"].clone();
    manifest["stages"] = json!([stages[0], stages[1]]);
    let cascade = cascade(&manifest);
    // The expert's logit is 1.25 at a temperature of 2: P(fake) 0.651, beyond 0.6.
    let unsure = Fakes { filter: logit(0.5), ..Fakes::default() };
    let (report, asked) = unsure.judge(&cascade);
    assert_eq!(asked, [0, 1, 1], "filter, expert, and the expert's view of what is sure");
    assert_eq!((report.verdict.label, report.verdict.decided_by.as_str()), (Label::Fake, "a"));
    assert_eq!(report.verdict.probability_fake, probability_fake(1.25, 2.0));
    assert_eq!((report.uncertainty, report.views[0].logit), (Some(0.0), 1.25));
    assert_eq!(report.stages[1].thresholds, Some(Thresholds { lower: 0.3, upper: 0.6 }));
    assert_eq!(report.multiply_adds, Some(Cost { spent: 410, all_stages: 210 }));
    // Where the filter's answer does not hold in its view, the expert's view counts, not the filter's.
    let shaken = Fakes { filter: logit(0.9), views: vec![logit(0.5)], ..Fakes::default() };
    let (report, asked) = shaken.judge(&cascade);
    assert_eq!(asked, [0, 0, 1, 1]);
    assert_eq!((report.verdict.label, report.uncertainty, report.views.len()), (Label::Fake, Some(0.0), 1));
    assert_eq!(report.multiply_adds, Some(Cost { spent: 420, all_stages: 210 }));
    let sure = Fakes { filter: logit(0.9), views: vec![logit(0.9)], ..Fakes::default() };
    let (report, asked) = sure.judge(&cascade);
    assert_eq!((asked.as_slice(), report.verdict.decided_by.as_str()), (&[0, 0][..], "filter"));
}

/// The crop has 90 pixels.
#[test]
fn e1_what_is_too_small_for_an_expert_stays_with_the_filter() {
    for (least, by, asked) in [(90, "meta", &[0, 1, 2, 3][..]), (91, "filter", &[0])] {
        let mut manifest = manifest(&[]);
        manifest["stages"][2]["min_side"] = json!(least);
        let (report, order) = Fakes::default().judge(&cascade(&manifest));
        assert_eq!((report.verdict.decided_by.as_str(), order.as_slice()), (by, asked), "{least}");
        assert_eq!((report.verdict.label, report.mode), (Label::Uncertain, Mode::Complete));
    }
}

#[test]
fn e1_e2_at_a_threshold_an_answer_is_sure_and_a_bit_beside_it_is_not() {
    // P(fake) is sigmoid(z / T) to the last bit, so thresholds can be set to exactly that.
    let (low, high) = (-1.0_f32, 2.0_f32);
    let mut exact = manifest(&[]);
    let ends = [low, high].map(|z| probability_fake(z, TEMPERATURE));
    exact["stages"][0]["thresholds"] = json!({ "lower": ends[0], "upper": ends[1] });
    let cascade = cascade(&exact);
    let by = |filter: f32| {
        let (report, _) = Fakes { filter, meta: Some(0.5), ..Fakes::default() }.judge(&cascade);
        (report.verdict.decided_by, report.verdict.label)
    };
    assert_eq!(by(low), ("filter".into(), Label::Real));
    assert_eq!(by(low.next_up()).0, "meta");
    assert_eq!(by(high), ("filter".into(), Label::Fake));
    assert_eq!(by(high.next_down()).0, "meta");
    // The meta-model's too; 0.5 and 0.75 are the same as 32-bit and as 64-bit floats.
    exact["thresholds"] = json!({ "lower": 0.5, "upper": 0.75 });
    let cascade = self::cascade(&exact);
    let label = |meta: f32| Fakes { meta: Some(meta), ..Fakes::default() }.judge(&cascade).0.verdict.label;
    let beside = [0.5_f32.next_up(), 0.75_f32.next_down()];
    assert_eq!(
        [0.5, beside[0], beside[1], 0.75].map(label),
        [Label::Real, Label::Uncertain, Label::Uncertain, Label::Fake]
    );
}

#[test]
fn e3_presets_move_both_deciders() {
    let mut cascade = cascade(&manifest(&[]));
    cascade.set_preset(Preset::Asymmetric);
    let fakes = |filter: f64, meta| Fakes { filter: logit(filter), meta: Some(meta), ..Fakes::default() };
    let (report, _) = fakes(0.1, 0.91).judge(&cascade);
    assert_eq!((report.verdict.decided_by.as_str(), report.verdict.label), ("meta", Label::Fake));
    assert_eq!(
        (report.thresholds, report.preset),
        (Thresholds { lower: 0.02, upper: 0.9 }, Preset::Asymmetric)
    );
    let (report, _) = fakes(0.92, 0.1).judge(&cascade);
    assert_eq!((report.verdict.decided_by.as_str(), report.verdict.label), ("filter", Label::Fake));
    cascade.set_preset(Preset::Static);
    let (report, _) = fakes(0.92, 0.97).judge(&cascade);
    assert_eq!((report.verdict.decided_by.as_str(), report.verdict.label), ("meta", Label::Uncertain));
}

#[test]
fn e4_i12_an_answer_that_views_move_is_not_sure() {
    let views = [View::Closer, View::Recompressed];
    let cascade = cascade(&manifest(&views));
    let fakes = |filter: f64, seen: [f64; 2], meta| Fakes {
        filter: logit(filter),
        views: seen.map(logit).to_vec(),
        meta: Some(meta),
        ..Fakes::default()
    };
    // The same from everywhere: sure, at the price of two more runs.
    let (report, asked) = fakes(0.1, [0.11, 0.09], 0.5).judge(&cascade);
    assert_eq!((report.verdict.label, asked), (Label::Real, vec![0, 0, 0]));
    assert_eq!(report.multiply_adds, Some(Cost { spent: 30, all_stages: 3210 }));
    assert_eq!(report.views.iter().map(|view| view.view).collect::<Vec<_>>(), views);
    let distance = report.uncertainty.unwrap();
    assert!((distance - ((0.1 / 0.9_f64).ln() - (0.09 / 0.91_f64).ln())).abs() < 1e-6, "{distance}");
    assert_eq!(report.thresholds, widened(Thresholds { lower: 0.25, upper: 0.75 }, distance));
    // One view that disagrees: the second stage decides, and holds to the same uncertainty.
    let (report, asked) = fakes(0.1, [0.1, 0.5], 0.59).judge(&cascade);
    assert_eq!((report.verdict.label, asked), (Label::Uncertain, vec![0, 0, 0, 1, 2, 3]));
    assert!(!report.notices.contains(&Notice::Unstable), "0.59 is not sure anyway");
    let (report, _) = fakes(0.1, [0.1, 0.5], 0.61).judge(&cascade);
    assert_eq!(report.verdict.label, Label::Uncertain);
    assert!(report.notices.contains(&Notice::Unstable), "{:?}", report.notices);
    let (report, _) = fakes(0.1, [0.1, 0.5], 0.99).judge(&cascade);
    assert_eq!(report.verdict.label, Label::Fake, "sure enough for all that");
    // Where the filter is not sure, views are looked at only once the meta-model is.
    let (report, asked) = fakes(0.5, [0.5, 0.5], 0.5).judge(&cascade);
    assert_eq!((report.uncertainty, asked), (None, vec![0, 1, 2, 3]));
    let (report, asked) = fakes(0.5, [0.5, 0.5], 0.9).judge(&cascade);
    assert_eq!((report.verdict.label, asked), (Label::Fake, vec![0, 1, 2, 3, 0, 0]));
    let (report, _) = fakes(0.5, [0.5, 0.95], 0.9).judge(&cascade);
    assert_eq!(report.verdict.label, Label::Uncertain);
}

#[test]
fn e9_a_missing_stage_leaves_what_is_unsure_uncertain_and_says_so() {
    let cascade = cascade(&manifest(&[]));
    for (fakes, missing) in [
        (Fakes { has_b: false, ..Fakes::default() }, "b"),
        (Fakes { meta: None, ..Fakes::default() }, "meta"),
    ] {
        let (report, _) = fakes.judge(&cascade);
        assert_eq!((report.verdict.label, report.mode), (Label::Uncertain, Mode::Degraded));
        assert_eq!(
            (report.verdict.decided_by.as_str(), report.missing.as_slice()),
            ("filter", &[missing.to_owned()][..])
        );
        assert_eq!(report.verdict.probability_fake, 0.5, "what the filter said");
        assert!(report.notices.contains(&Notice::StageMissing));
    }
    // What needs no second look misses nothing.
    let (report, _) = Fakes { filter: logit(0.05), has_b: false, ..Fakes::default() }.judge(&cascade);
    assert_eq!((report.verdict.label, report.mode, report.missing.len()), (Label::Real, Mode::Complete, 0));
    // And an answer that only views made unsure stays unsure.
    let cascade = self::cascade(&manifest(&[View::Softened]));
    let unstable = Fakes { filter: logit(0.05), views: vec![logit(0.9)], has_b: false, ..Fakes::default() };
    let (report, _) = unstable.judge(&cascade);
    assert_eq!((report.verdict.label, report.mode), (Label::Uncertain, Mode::Degraded));
}

#[test]
fn e7_answers_that_nobody_asked_for_or_that_are_none_are_errors() {
    let cascade = cascade(&manifest(&[]));
    let frame = frame();
    let mut judgement = cascade.begin(&frame, Crop::centre_square(&frame)).unwrap();
    let code = |result: Result<(), Error>| result.unwrap_err().code();
    assert_eq!(code(judgement.supply(1, &[row(&[0.0])], 0.0, "")), ErrorCode::Stage);
    assert_eq!(code(judgement.supply(9, &[row(&[0.0])], 0.0, "")), ErrorCode::Stage);
    assert_eq!(code(judgement.missing(0)), ErrorCode::Stage);
    assert_eq!(code(judgement.supply(0, &[], 0.0, "")), ErrorCode::Stage);
    assert_eq!(code(judgement.supply(0, &[row(&[f32::NAN])], 0.0, "")), ErrorCode::Numeric);
    // It still waits for the same run.
    judgement.supply(0, &[row(&[logit(0.01)])], 0.0, "").unwrap();
    assert!(matches!(judgement.next(), Next::Done(_)));
    assert_eq!(code(judgement.supply(0, &[row(&[0.0])], 0.0, "")), ErrorCode::Stage);
}

#[test]
fn i10_what_cannot_show_a_face_is_never_begun() {
    let cascade = cascade(&manifest(&[]));
    let flat = Frame::from_rgb(100, 100, vec![7; 100 * 100 * 3]);
    let error = cascade.begin(&flat, Crop::centre_square(&flat)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotApplicable, "{error}");
}

#[test]
fn e8_statistics_count_what_became_of_pictures() {
    let cascade = cascade(&manifest(&[]));
    let mut statistics = Statistics::default();
    let mut note = |filter: f64, meta: f32, truth| {
        let (mut report, _) =
            Fakes { filter: logit(filter), meta: Some(meta), ..Fakes::default() }.judge(&cascade);
        report.set_times(5.0);
        statistics.note(&report, truth);
    };
    note(0.1, 0.5, Some(Label::Real));
    note(0.1, 0.5, Some(Label::Fake)); // leaks
    note(0.9, 0.5, Some(Label::Real)); // false alarm
    note(0.5, 0.1, Some(Label::Fake)); // missed, but not leaked
    note(0.5, 0.5, None);
    statistics.note_refused();
    assert_eq!((statistics.judged, statistics.refused, statistics.escalated), (5, 1, 2));
    assert_eq!(
        (statistics.filtered.real, statistics.filtered.fake, statistics.filtered.uncertain),
        (2, 1, 0)
    );
    assert_eq!((statistics.labels.real, statistics.labels.fake, statistics.labels.uncertain), (3, 1, 1));
    assert_eq!((statistics.filtration(), statistics.escalation()), (Some(0.6), Some(0.4)));
    assert_eq!((statistics.leakage(), statistics.truth.false_alarms), (Some(0.5), 1));
    assert_eq!((statistics.truth.missed, statistics.truth.accused), (2, 1));
    let spent = 3.0 * 10.0 + 2.0 * 3210.0;
    assert_eq!(statistics.saved(), Some(1.0 - spent / (5.0 * 3210.0)));
    assert_eq!(statistics.latency.mean_ms(), Some(5.0));
    let bytes = serde_json::to_string(&statistics).unwrap().len();
    for _ in 0..1000 {
        let (report, _) = Fakes { filter: logit(0.1), ..Fakes::default() }.judge(&cascade);
        statistics.note(&report, None);
    }
    assert!(serde_json::to_string(&statistics).unwrap().len() < bytes + 100, "it grows with what it counts");
    statistics.reset();
    assert_eq!((statistics.filtration(), statistics.saved(), statistics.leakage()), (None, None, None));
}

#[test]
fn e5_a_report_says_everything_and_is_read_again() {
    let cascade = cascade(&manifest(&[View::Closer]));
    let fakes = Fakes { views: vec![0.0], meta: Some(0.9), ..Fakes::default() };
    let (report, _) = fakes.judge(&cascade);
    let roles: Vec<Role> = report.stages.iter().map(|stage| stage.role).collect();
    assert_eq!(roles, [Role::Filter, Role::Expert, Role::Expert, Role::Meta]);
    let thresholds: Vec<Option<f64>> =
        report.stages.iter().map(|stage| stage.thresholds.map(|thresholds| thresholds.upper)).collect();
    assert_eq!(thresholds, [Some(0.75), None, None, Some(0.6)]);
    assert_eq!(report.stages[1].probability_fake, probability_fake(1.25, 2.0));
    assert!((report.stages[3].logit - 9f32.ln()).abs() < 1e-5, "log-odds of 0.9");
    assert!(report.stages.iter().all(|stage| stage.sha256.len() == 64 && stage.backend == "fake"));
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn stages_in_another_order_or_with_other_roles_are_refused() {
    let refused = |says: &str, change: &dyn Fn(&mut Value)| {
        let mut manifest = manifest(&[]);
        change(&mut manifest);
        let error = Manifest::parse(manifest.to_string().as_bytes()).expect_err(says);
        assert!(error.to_string().contains(says), "{says:?} is not in {error}");
    };
    let stages = |numbers: &'static [usize]| {
        move |manifest: &mut Value| {
            let all = manifest["stages"].clone();
            manifest["stages"] = numbers.iter().map(|&number| all[number].clone()).collect();
        }
    };
    for numbers in [&[1, 2, 3][..], &[0, 1, 2], &[1, 0], &[0, 3], &[0, 3, 1], &[3], &[0, 1, 3, 3]] {
        refused("in this order", &stages(numbers));
    }
    refused("another use", &stages(&[0, 1, 1, 3]));
    refused("another use", &|manifest| manifest["stages"][2]["name"] = json!("a"));
    refused("another use", &|manifest| manifest["stages"][2]["file"] = json!("a.onnx"));
    refused("temperature 1", &|manifest| manifest["stages"][3]["temperature"] = json!(2.0));
    refused("temperature", &|manifest| manifest["stages"][1]["temperature"] = json!(-1.0));
    refused("is no expert", &|manifest| manifest["stages"][0]["min_side"] = json!(64));
    refused("invalid value", &|manifest| manifest["stages"][1]["min_side"] = json!(-1));
    refused("lazily", &|manifest| manifest["stages"][0]["loading"] = json!("lazy"));
    refused("unknown variant", &|manifest| manifest["stages"][1]["role"] = json!("oracle"));
    refused("thresholds need", &|manifest| {
        manifest["stages"][0]["thresholds"] = json!({ "lower": 0.9, "upper": 0.1 })
    });
    refused("preprocess.size", &|manifest| manifest["stages"][1]["preprocess"]["size"] = json!(7));
    refused("gain", &|manifest| manifest["uncertainty"]["gain"] = json!(-1));
    refused("unknown variant", &|manifest| manifest["uncertainty"]["views"] = json!(["upside_down"]));
    refused("unknown field", &|manifest| manifest["uncertainty"]["limit"] = json!(1));
    refused("name of a stage", &|manifest| manifest["stages"][1]["name"] = json!("a\nb"));
    refused("input_size", &|manifest| {
        // The size of its own preprocessing, not the bundle's.
        manifest["stages"][1]["format"] =
            json!({ "weights": "int8", "activations": "int8", "input_size": 48 });
    });
}
