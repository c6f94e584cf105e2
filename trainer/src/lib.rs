//! Face data sets in, a deepfake detection bundle out.
//!
//! The training story, in the order of `aware --help`:
//!
//! 1. [`prepare`]: data sets ([`paths`], [`readers`], [`classify`]) -> pictures ([`video`], [`faces`] by
//!    [`yunet`]) -> manifest ([`dataset`]), split without leaks ([`splits`], [`duplicates`]; [`legacy`] to
//!    compare), with a [`report`];
//! 2. [`loader`], [`augment`], [`self_blend`] and [`composite`]: manifest -> batches, made with the engine's own preprocessing, and shown by [`preview`];
//! 3. [`models`] over [`ops`]: the networks, on candle operations of our own, on a [`device`];
//! 4. [`train`]: the loop ([`loss`], [`optimizer`], [`schedule`], [`average`]) and its [`checkpoint`]s, which may begin at published weights ([`import`], [`tensors`]);
//! 5. [`metrics`], [`reliability`], [`judgement`], [`cascade`], [`trivial`] (by [`regression`]) and [`temperature`], [`judged_by`] all pictures or each set: how good the best epoch is, what that is worth, and when its answers are sure; [`history`] of the epochs;
//! 6. [`evaluate`]: a run ([`judge`]), or [`scores`] from a file -> reports, with [`plots`] of their [`curves`] drawn as [`figure`]s on a [`page`] ([`report_page`]); [`leave_one_out`]: what a run is worth on a set it never saw;
//!    [`features`] and [`pipeline`] (over [`pca`]): the embeddings; [`complementarity`]: two runs side by side;
//! 7. [`export`]: network -> ONNX or TFLite, in floats or integers -> [`bundle`] as [`deployment`] says, read back and
//!    checked, by [`validation`] on any machine; [`profile`]: where its time goes, beside what the machine can do ([`roofline`]), and its [`memory`];
//! 8. [`optimize`] over [`quantisation`] and [`distill`]: the best epoch learns in integers, is exported and held to the engine; [`unfold`]: a written file becomes a network again;
//! 9. [`fit_cascade`]: networks -> their [`answers`] -> a meta-model of trees ([`stacking`] over [`boosting`]), where it knows more than an
//!    expert alone ([`decider`]) -> a bundle of several stages, with a [`cascade_report`];
//! 10. [`locator`]: the face detector, from boxes of another one to a folder that [`faces`] reads;
//! 11. [`detect`]: pictures on disk -> reports, with the bundle, in a [`batch`] by all cores, and the [`heat`] of what moved them; [`video_detect`]: videos ([`ffmpeg`], [`video_stream`]), by the
//!     faces in them ([`regions`]), drawn as a [`timeline`] and by [`annotate`]; [`scan`]: folders of many, by many processes, which an
//!     [`interrupt`] stops in order;
//! 12. [`bench`]: what a bundle is worth, in one report; [`ready`]: whether that is enough to ship it.

pub mod config;
pub mod dataset;
pub mod readers;
pub mod paths;
pub mod classify;
pub mod soup;
pub mod splits;
pub mod legacy;
pub mod duplicates;
pub mod video;
pub mod yunet;
pub mod face_points;
pub mod faces;
pub mod locator;
mod spool;
mod pictures;
pub mod prepare;
pub mod report;
pub mod raster;
pub mod augment;
pub mod blend;
pub mod self_blend;
pub mod loader;
pub mod preview;
pub mod device;
pub mod ops;
pub mod models;
pub mod loss;
pub mod distill;
pub mod teacher;
pub mod optimizer;
pub mod schedule;
pub mod average;
pub mod train;
pub mod checkpoint;
pub mod tensors;
pub mod import;
pub mod unfold;
pub mod anchor;
pub mod history;
pub mod metrics;
pub mod reliability;
pub mod curves;
pub mod judgement;
pub mod cascade;
pub mod regression;
pub mod trivial;
pub mod temperature;
pub mod judged_by;
pub mod scores;
pub mod judge;
pub mod evaluate;
pub mod figure;
pub mod plots;
pub mod page;
pub mod report_page;
pub mod leave_one_out;
pub mod features;
pub mod pca;
pub mod pipeline;
pub mod points;
pub mod complementarity;
pub mod composite;
pub mod boosting;
pub mod stacking;
pub mod export;
pub mod quantisation;
pub mod optimize;
pub mod deployment;
pub mod bundle;
pub mod answers;
pub mod decider;
pub mod cascade_report;
pub mod fit_cascade;
pub mod validation;
pub mod bench;
pub mod ready;
pub mod profile;
pub mod roofline;
pub mod memory;
pub mod interrupt;
pub mod ffmpeg;
pub mod video_stream;
pub mod regions;
pub mod annotate;
pub mod timeline;
pub mod video_detect;
pub mod detect;
pub mod batch;
pub mod heat;
pub mod devices;
pub mod scan;
pub mod files;
