//! The device of a result, in rows for people.

use super::page::{FLOATS, OWN_FILE};
use crate::text::number::{figures, size, yes};
use crate::text::{text, text_with};
use engine::benchmark::BenchmarkReport;
use engine::benchmark::report::{FileIdentity, Mode};

/// What is told of the device and the measurement, by name.
pub fn environment(report: &BenchmarkReport) -> Vec<(&'static str, String)> {
    let environment = &report.environment;
    let unknown = || text("bench.device.not_told").to_owned();
    let adapter = environment.adapter.as_ref().map(|adapter| match environment.is_software_adapter {
        true => text_with("second.adapter.software", &[("adapter", adapter)]),
        false => adapter.clone(),
    });
    let memory = |memory: f64| {
        let memory = figures(&memory.to_string());
        text_with("bench.device.memory.text", &[("memory", &memory)])
    };
    let mode = text(match report.settings.mode {
        Mode::Quick => "bench.mode.quick.name",
        Mode::Full => "bench.mode.full.name",
        Mode::Sustained => "bench.mode.sustained.name",
    });
    let seconds = figures(&report.settings.seconds.to_string());
    let mut rows = vec![
        (text("bench.device.measured_at"), report.measured_at.clone()),
        (
            text("bench.device.mode"),
            text_with("bench.device.mode.text", &[("mode", mode), ("seconds", &seconds)]),
        ),
        (text("bench.device.browser"), environment.user_agent.clone()),
        (text("bench.device.platform"), environment.platform.clone().unwrap_or_else(unknown)),
        (text("bench.device.processors"), environment.cores.map_or_else(unknown, |cores| cores.to_string())),
        (text("bench.device.memory"), environment.memory_gb.map_or_else(unknown, memory)),
        (text("bench.device.screen"), screen(environment.screen, environment.pixel_ratio)),
        (text("bench.device.isolated"), yes(environment.is_isolated).into()),
        (text("bench.device.relaxed"), yes(environment.has_relaxed_simd).into()),
        (text("bench.device.adapter"), adapter.unwrap_or_else(|| text("bench.device.not_asked").to_owned())),
        (text("numbers.model"), model(report)),
        (text("numbers.engine"), report.engine_version.clone()),
    ];
    if let Some(identity) = &report.file {
        rows.push((text("bench.device.file"), file(identity)));
    }
    if let Some(simulated) = &report.simulated {
        rows.push((text("bench.device.simulated"), simulated.clone()));
    }
    rows
}

fn screen([width, height]: [f64; 2], ratio: f64) -> String {
    let ratio = figures(&ratio.to_string());
    let values = [("size", &size([width as u32, height as u32])[..]), ("ratio", &ratio)];
    text_with("bench.device.screen.text", &values)
}

fn model(report: &BenchmarkReport) -> String {
    let name = format!("{} {}", report.model.name, report.model.version);
    text_with("bench.device.model.text", &[("name", &name), ("sha256", &report.model.sha256)])
}

fn file(identity: &FileIdentity) -> String {
    let what = match &identity.what[..] {
        OWN_FILE => text("bench.device.file.own"),
        FLOATS => text("bench.device.file.floats"),
        other => other,
    };
    let bytes = identity.bytes.to_string();
    let values = [("what", what), ("bytes", &bytes)];
    match &identity.sha256 {
        None => text_with("bench.device.file.text", &values),
        Some(sha256) => text_with("bench.device.file.sha256", &[&values[..], &[("sha256", sha256)]].concat()),
    }
}
