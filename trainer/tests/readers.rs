//! Published data sets as they lie on disk: what is found, who is in it, which split it gets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use indicatif::ProgressBar;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use trainer::dataset::{Split, read_manifest, write_manifest};
use trainer::prepare::{PrepareConfig, Prepared, prepare_with};
use trainer::readers::{Compression, Item, Layout, Set, read_sets};
use trainer::splits::SplitMode;

/// Empty files at `names` below `root`; readers open none.
fn touch(root: &Path, names: &[&str]) {
    for name in names {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
}

fn one_set(root: &Path, layout: Layout) -> Set {
    let mut sets = read_sets(root, &[], None).unwrap();
    assert_eq!(sets.len(), 1);
    let set = sets.remove(0);
    assert_eq!(set.layout, layout);
    set
}

fn item<'a>(set: &'a Set, name: &str) -> &'a Item {
    set.items.iter().find(|item| item.name == name).unwrap_or_else(|| panic!("no {name} in {:#?}", set.items))
}

/// Real and fake.
fn counts(set: &Set) -> [usize; 2] {
    [0, 1].map(|label| set.items.iter().filter(|item| item.label == label).count())
}

fn names_only(root: &Path, config: PrepareConfig) -> Prepared {
    let config = PrepareConfig { seed: 1, names_only: true, ..config };
    prepare_with(root, &config, &ProgressBar::hidden()).unwrap()
}

fn by_split(prepared: &Prepared) -> BTreeMap<Split, usize> {
    let mut counts = BTreeMap::new();
    for sample in &prepared.samples {
        *counts.entry(sample.split).or_default() += 1;
    }
    counts
}

#[test]
fn a01_celebdf_is_read_with_people_and_test_list() {
    let root = common::folder("celebdf");
    let set = root.join("Celeb-DF-v2");
    touch(
        &set,
        &[
            "Celeb-real/id0_0001.mp4",
            "Celeb-real/id1_0000/0001.png",
            "YouTube-real/00170.mp4",
            "Celeb-synthesis/id0_id16_0000.mp4",
            "Celeb-synthesis/id16_id0_0000.mp4",
            "Celeb-real/readme.txt",
        ],
    );
    let list = set.join("List_of_testing_videos.txt");
    std::fs::write(
        &list,
        "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id16_id0_0000.mp4\n1 Celeb-real/id9_0000.mp4\n",
    )
    .unwrap();
    let read = one_set(&root, Layout::Celebdf);
    assert_eq!((read.dataset.as_str(), counts(&read)), ("celebdf_v2", [3, 2]));
    let fake = item(&read, "Celeb-synthesis/id0_id16_0000.mp4");
    assert_eq!(fake.identities, ["celebdf/id0", "celebdf/id16"]);
    assert_eq!((fake.official, fake.method.as_deref()), (None, Some("Celeb-synthesis")));
    assert_eq!(item(&read, "Celeb-synthesis/id16_id0_0000.mp4").official, Some(Split::Test));
    assert_eq!(item(&read, "YouTube-real/00170.mp4").official, Some(Split::Test));
    let frame = item(&read, "Celeb-real/id1_0000/0001.png");
    assert_eq!((frame.identities[0].as_str(), frame.legacy_key.as_str()), ("celebdf/id1", "id1_0000.mp4"));
    assert_eq!(read.skipped.len(), 1, "{:?}", read.skipped);
    assert!(read.skipped[0].1.contains("not there"), "{:?}", read.skipped);

    // The list's label is checked against the folder.
    std::fs::write(&list, "0 YouTube-real/00170.mp4\n").unwrap();
    let error = read_sets(&root, &[], None).unwrap_err();
    assert!(format!("{error:#}").contains("line 1"), "{error:#}");
}

#[test]
fn a01_ffpp_is_read_with_pairs_compressions_and_lists() {
    let root = common::folder("ffpp");
    touch(
        &root,
        &[
            "original_sequences/youtube/c23/videos/000.mp4",
            "original_sequences/youtube/c0/videos/003.mp4",
            "original_sequences/actors/c23/videos/01__walking.mp4",
            "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4",
            "manipulated_sequences/FaceSwap/c40/videos/003_000.mp4",
            "manipulated_sequences/FaceSwap/c40/images/003_000/0001.png",
            "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__walking__ABC.mp4",
            "manipulated_sequences/Face2Face/c99/videos/000_003.mp4",
            "manipulated_sequences/Face2Face/masks/videos/000_003.mp4",
        ],
    );
    std::fs::write(root.join("test.json"), r#"[["000", "003"]]"#).unwrap();
    let read = one_set(&root, Layout::Ffpp);
    assert_eq!((read.dataset.as_str(), counts(&read)), ("ffpp", [3, 4]));
    let fake = item(&read, "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4");
    assert_eq!(fake.identities, ["ffpp/000", "ffpp/003"]);
    assert_eq!((fake.method.as_deref(), fake.official), (Some("Deepfakes"), Some(Split::Test)));
    assert_eq!(fake.legacy_key, "000_003");
    let frame = item(&read, "manipulated_sequences/FaceSwap/c40/images/003_000/0001.png");
    assert_eq!(frame.video, item(&read, "manipulated_sequences/FaceSwap/c40/videos/003_000.mp4").video);
    let actors = item(&read, "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__walking__ABC.mp4");
    assert_eq!(
        (actors.identities.join(" ").as_str(), actors.official),
        ("ffpp/actor/01 ffpp/actor/02", None)
    );
    assert_eq!(read.skipped.len(), 2, "{:?}", read.skipped);

    let of = |compressions: &[Compression]| {
        let config = PrepareConfig {
            compressions: compressions.to_vec(),
            names_only: true,
            ..PrepareConfig::default()
        };
        prepare_with(&root, &config, &ProgressBar::hidden())
    };
    let paths = |compressions: &[Compression]| {
        of(compressions).unwrap().samples.into_iter().map(|sample| sample.image_path).collect::<Vec<_>>()
    };
    let light = paths(&[Compression::C0, Compression::C40]);
    assert_eq!(light.len(), 3, "{light:?}");
    assert!(light.iter().all(|path| path.iter().any(|part| part == "c0" || part == "c40")), "{light:?}");
    assert_eq!(paths(&[]).len(), 7);
    std::fs::remove_dir_all(root.join("original_sequences/youtube/c0")).unwrap();
    let error = of(&[Compression::C0]).unwrap_err().to_string();
    assert!(error.contains("c0") && error.contains("c23, c40"), "{error}");

    std::fs::write(root.join("train.json"), r#"[["000", "001"]]"#).unwrap();
    let error = read_sets(&root, &[], None).unwrap_err();
    assert!(error.to_string().contains("leak"), "{error}");
}

#[test]
fn a01_dfdc_is_read_by_metadata_and_by_folder() {
    let root = common::folder("dfdc");
    touch(&root, &["DFDC/part_0/a.mp4", "DFDC/part_0/b.mp4", "DFDC/part_0/c.mp4", "secret.mp4"]);
    std::fs::write(
        root.join("DFDC/part_0/metadata.json"),
        r#"{"a.mp4": {"label": "REAL", "split": "train", "original": null},
            "b.mp4": {"label": "FAKE", "split": "train", "original": "a.mp4"},
            "c.mp4": {"split": "train"},
            "gone.mp4": {"label": "REAL", "split": "train"},
            "../../secret.mp4": {"label": "REAL", "split": "train"}}"#,
    )
    .unwrap();
    touch(&root, &["DFDC_classified/real/part_0_a.mp4", "DFDC_classified/fake/part_0_b.mp4"]);
    let sets = read_sets(&root, &[], None).unwrap();
    let [dfdc, classified] = sets.as_slice() else { panic!("{sets:?}") };
    assert_eq!((dfdc.layout, counts(dfdc)), (Layout::Dfdc, [1, 1]));
    assert_eq!(item(dfdc, "part_0/b.mp4").identities, ["dfdc/a"]);
    assert_eq!(item(dfdc, "part_0/b.mp4").legacy_key, "dfdc_fake_b");
    let reasons: Vec<_> = dfdc.skipped.iter().map(|(_, reason)| reason.as_str()).collect();
    for want in ["c.mp4\": no label", "gone.mp4\": in the list", "secret.mp4\": not the name"] {
        assert!(reasons.iter().any(|reason| reason.contains(want)), "{want}: {reasons:?}");
    }
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert_eq!((classified.layout, counts(classified)), (Layout::DfdcClassified, [1, 1]));
    assert_eq!(item(classified, "real/part_0_a.mp4").legacy_key, "dfdc_real_part_0_a");
}

#[test]
fn a01_df40_is_read_with_methods_and_the_people_of_its_sources() {
    let root = common::folder("df40");
    touch(
        &root,
        &[
            "DF40/frames/000_003/0.png",
            "DF40/simswap/frames/000_003/0.png",
            "DF40/simswap/frames/000_003/1.png",
            "DF40/fsgan/frames/id0_id16_0000/0.png",
            "DF40/fsgan/frames/other/0.png",
            "DF40/fsgan/loose.png",
        ],
    );
    let read = one_set(&root, Layout::Df40);
    assert_eq!(counts(&read), [0, 5]);
    assert_eq!(item(&read, "simswap/frames/000_003/1.png").method.as_deref(), Some("simswap"));
    assert_eq!(item(&read, "simswap/frames/000_003/0.png").identities, ["ffpp/000", "ffpp/003"]);
    assert_eq!(item(&read, "fsgan/frames/id0_id16_0000/0.png").identities, ["celebdf/id0", "celebdf/id16"]);
    assert_eq!(item(&read, "fsgan/frames/other/0.png").identities, ["df40/other"]);
    assert_eq!(read.skipped.len(), 1);
}

#[test]
fn a10_deepfake_eval_2024_is_for_testing_only() {
    let root = common::folder("eval2024");
    touch(&root, &["image-data/1.jpg", "image-data/2.jpg", "image-data/3.jpg", "image-data/4.jpg"]);
    std::fs::write(
        root.join("image-metadata-publish.csv"),
        "Filename,Ground Truth,Finetuning Set\n1.jpg,Real,Train\n2.jpg,Fake,Train\n3.jpg,Unknown,Train\n",
    )
    .unwrap();
    assert_eq!(counts(&one_set(&root, Layout::Eval2024)), [1, 1]);
    for split in [SplitMode::Identity, SplitMode::Official, SplitMode::Legacy] {
        let prepared = names_only(&root, PrepareConfig { split, ..PrepareConfig::default() });
        assert_eq!(by_split(&prepared), BTreeMap::from([(Split::Test, 2)]), "{split:?}");
        assert_eq!(prepared.skipped.len(), 2, "{:?}", prepared.skipped);
    }
}

#[test]
fn an_unknown_folder_says_what_was_looked_for() {
    let root = common::folder("unknown-layout");
    touch(&root, &["holiday/1.jpg"]);
    let message = read_sets(&root, &[], None).unwrap_err().to_string();
    for layout in Layout::ALL {
        assert!(message.contains(layout.looks_for()), "{message}");
    }
    let message = read_sets(&root, &[], Some(Layout::Ffpp)).unwrap_err().to_string();
    assert!(message.contains("original_sequences") && !message.contains("Celeb"), "{message}");
    touch(&root, &["toy/real/1.png"]);
    let message = read_sets(&root, &["tyo".into()], None).unwrap_err().to_string();
    assert!(message.contains("tyo") && message.contains("toy"), "{message}");
}

#[test]
fn sets_beside_each_other_are_all_found() {
    let root = common::folder("beside");
    touch(&root, &["DFDC/a.mp4", "Celeb/Celeb-real/id0_0000.mp4", "DF40/frames/x/0.png", "toy/real/1.png"]);
    std::fs::write(root.join("DFDC/metadata.json"), r#"{"a.mp4": {"label": "REAL"}}"#).unwrap();
    let sets = read_sets(&root, &[], None).unwrap();
    let names: Vec<_> = sets.iter().map(|set| set.dataset.as_str()).collect();
    assert_eq!(names, ["celebdf_v2", "df40", "dfdc", "toy"]);
}

#[test]
fn a_forced_layout_wins() {
    let root = common::folder("forced");
    touch(&root, &["Celeb-real/id0_0000.mp4", "real/1.png", "fake/1.png"]);
    assert_eq!(read_sets(&root, &[], None).unwrap()[0].layout, Layout::Celebdf);
    let forced = read_sets(&root, &[], Some(Layout::Folders)).unwrap();
    assert_eq!((forced[0].dataset.as_str(), counts(&forced[0])), ("forced", [1, 1]));
}

#[cfg(unix)]
#[test]
fn c03_a_folder_that_cannot_be_listed_and_one_too_deep_are_said() {
    use std::os::unix::fs::PermissionsExt;
    let root = common::folder("hostile-folders");
    let deep = vec!["deeper"; 20].join("/");
    touch(&root, &["set/real/1.png", "set/fake/closed/1.png", &format!("set/real/{deep}/2.png")]);
    let closed = root.join("set/fake/closed");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    let is_closed = std::fs::read_dir(&closed).is_err();
    let set = one_set(&root.join("set"), Layout::Folders);
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o755)).unwrap();
    let says = |what: &str| set.skipped.iter().any(|(_, reason)| reason.contains(what));
    assert!(says("folders deep"), "{:?}", set.skipped);
    if is_closed {
        assert!(says("cannot list the folder"), "{:?}", set.skipped);
    } else {
        eprintln!("left out: a folder that cannot be listed, since this user may list every one");
    }
}

#[cfg(unix)]
#[test]
fn c05_names_that_are_no_text_are_listed_byte_by_byte() {
    use std::os::unix::ffi::OsStrExt;
    let root = common::folder("bytes");
    touch(&root, &["set/real/1.png"]);
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.png");
    if std::fs::write(root.join("set/real").join(name), "").is_err() {
        eprintln!("left out: names that are no text, since this file system has none");
        return;
    }
    let prepared = names_only(&root, PrepareConfig::default());
    assert_eq!((prepared.samples.len(), prepared.skipped.len()), (1, 1));
    let listed = serde_json::to_value(&prepared.skipped.files[0]).unwrap();
    assert!(listed["path_bytes"].as_str().unwrap().ends_with("2f636166e92e706e67"), "{listed}");
    assert!(listed["reason"].as_str().unwrap().contains("UTF-8"), "{listed}");
    // A folder above the set cannot be left out, so it is refused.
    let above = root.join(std::ffi::OsStr::from_bytes(b"\xff"));
    std::fs::rename(root.join("set"), &above).unwrap();
    let error = read_sets(&above, &[], None).unwrap_err().to_string();
    assert!(error.contains("not UTF-8"), "{error}");
}

#[cfg(unix)]
#[test]
fn c03_links_and_pipes_are_listed_not_followed() {
    let root = common::folder("links");
    touch(&root, &["outside/secret.png", "set/real/1.png"]);
    let real = root.join("set/real");
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, real.join(name)).unwrap();
    link("../../outside/secret.png", "link.png");
    link("../..", "loop");
    link("/dev/zero", "zero.png");
    let made = std::process::Command::new("mkfifo").arg(real.join("pipe.png")).status().unwrap();
    assert!(made.success());
    let set = one_set(&root.join("set"), Layout::Folders);
    assert_eq!(counts(&set), [1, 0]);
    let mut skipped: Vec<_> = set.skipped.iter().map(|(path, _)| path.file_name().unwrap()).collect();
    skipped.sort();
    assert_eq!(skipped, ["link.png", "loop", "pipe.png", "zero.png"]);
    // Nor is a whole set found through a link.
    std::os::unix::fs::symlink("../links/set", root.join("alias")).unwrap();
    assert_eq!(read_sets(&root, &[], None).unwrap().len(), 1);
}

/// `people` with a real and a fake with everyone else each, by two methods.
fn celebdf(root: &Path, people: usize) {
    for a in 0..people {
        touch(root, &[&format!("Celeb-real/id{a}_0000.mp4"), &format!("YouTube-real/{a:05}.mp4")]);
        for b in (0..people).filter(|b| *b != a) {
            touch(root, &[&format!("Celeb-synthesis/id{a}_id{b}_0000.mp4")]);
        }
    }
}

/// Every person of the name of a Celeb-DF video is in one split.
fn assert_nobody_is_in_two_splits(prepared: &Prepared) {
    let mut split_of = HashMap::new();
    for sample in &prepared.samples {
        let stem = sample.image_path.file_stem().unwrap().to_str().unwrap();
        for person in stem.split('_').filter(|part| part.starts_with("id")) {
            let first = *split_of.entry(person.to_owned()).or_insert(sample.split);
            assert_eq!(first, sample.split, "{person}");
        }
    }
}

#[test]
fn a08_nobody_is_in_two_splits_and_the_official_test_list_is_honoured() {
    let root = common::folder("celebdf-splits");
    celebdf(&root, 12);
    let prepared = names_only(&root, PrepareConfig::default());
    assert_nobody_is_in_two_splits(&prepared);
    assert_eq!(by_split(&prepared).len(), 3);
    assert!(prepared.left_out.files.iter().all(|file| file.reason.contains("id")), "{:?}", prepared.left_out);

    std::fs::write(
        root.join("List_of_testing_videos.txt"),
        "1 Celeb-real/id0_0000.mp4\n1 YouTube-real/00003.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n",
    )
    .unwrap();
    let prepared = names_only(&root, PrepareConfig::default());
    assert_nobody_is_in_two_splits(&prepared);
    let mut tested: Vec<_> = prepared.samples.iter().filter(|s| s.split == Split::Test).collect();
    tested.sort_by_key(|sample| &sample.image_path);
    assert_eq!(tested.len(), 3, "{tested:?}");
    assert!(by_split(&prepared)[&Split::Train] > by_split(&prepared)[&Split::Val]);
    // By video, the list costs nothing; people are then in both, as in published results.
    let official =
        names_only(&root, PrepareConfig { split: SplitMode::Official, ..PrepareConfig::default() });
    assert_eq!((by_split(&official)[&Split::Test], official.left_out.len()), (3, 0));

    let manifest = root.join("manifest.csv");
    write_manifest(&manifest, &prepared.samples).unwrap();
    assert_eq!(read_manifest(&manifest).unwrap(), prepared.samples);
}

#[test]
fn a08_legacy_splits_are_the_originals() {
    let root = common::folder("legacy-splits");
    touch(
        &root,
        &["Celeb-real/id0_0001.mp4", "Celeb-real/id0_0006.mp4", "Celeb-synthesis/id0_id17_0007.mp4"],
    );
    let prepared = names_only(&root, PrepareConfig { split: SplitMode::Legacy, ..PrepareConfig::default() });
    let splits: Vec<_> = prepared.samples.iter().map(|sample| sample.split).collect();
    assert_eq!(splits, [Split::Train, Split::Val, Split::Val]);
}

#[test]
fn a12_a_held_out_method_is_tested_only_and_alone() {
    let root = common::folder("hold-out");
    for pair in 0..20 {
        let (a, b) = (2 * pair, 2 * pair + 1);
        touch(&root, &[&format!("original_sequences/youtube/c23/videos/{a:03}.mp4")]);
        for method in ["Deepfakes", "FaceSwap"] {
            touch(&root, &[&format!("manipulated_sequences/{method}/c23/videos/{a:03}_{b:03}.mp4")]);
        }
    }
    let hold_out = |name: &str| PrepareConfig { hold_out: Some(name.into()), ..PrepareConfig::default() };
    let prepared = names_only(&root, hold_out("FaceSwap"));
    let has = |split: Split, method: &str| {
        prepared.samples.iter().any(|s| s.split == split && s.image_path.to_str().unwrap().contains(method))
    };
    assert!(has(Split::Test, "FaceSwap") && !has(Split::Train, "FaceSwap") && !has(Split::Val, "FaceSwap"));
    assert!(!has(Split::Test, "Deepfakes") && has(Split::Train, "Deepfakes") && has(Split::Val, "Deepfakes"));
    assert!(has(Split::Test, "original") && has(Split::Train, "original"));
    let config = PrepareConfig { names_only: true, ..hold_out("FaceSwop") };
    let error = prepare_with(&root, &config, &ProgressBar::hidden()).unwrap_err().to_string();
    assert!(error.contains("FaceSwop") && error.contains("Deepfakes, FaceSwap"), "{error}");
}
