//! What is measured; all of it stands in the page's address, behind `#benchmark?`, which no server sees.
//!
//! `mode=quick|full|sustained`, `places=NAME,NAME`, `seconds=N`, `runs=N` (least of each), `compare` (the network in floats, in every place), `start`
//! (without a click), `simulated=TEXT`.

use super::place::Place;
use engine::benchmark::Settings;
use engine::benchmark::report::Mode;
use engine::benchmark::series::MAX_RUNS;

/// Where the benchmark is in the page's address.
pub const ADDRESS: &str = "#benchmark";
/// Longest measurement that an address may ask for, in seconds.
const MAX_SECONDS: f64 = 3600.0;
/// Longest text of a simulation, in characters.
const MAX_TEXT: usize = 40;

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How long.
    pub mode: Mode,
    /// Where.
    pub places: Vec<Place>,
    /// The length, if it is not the mode's own.
    pub seconds: Option<f64>,
    /// Least runs of each, if they are not the mode's own.
    pub runs: Option<u32>,
    /// Whether a file runs in every place: the bundle's network in floats, or the visitor's own.
    pub compare: bool,
    /// Begin at once.
    pub start: bool,
    /// How this device was slowed down.
    pub simulated: Option<String>,
}

impl Options {
    /// The options in `address`, the part from `#` on; what is not understood is left out.
    pub fn of(address: &str, processor: Place) -> Options {
        let mut options = Options {
            mode: Mode::Quick,
            places: vec![processor],
            seconds: None,
            runs: None,
            compare: false,
            start: false,
            simulated: None,
        };
        let query = address.strip_prefix(ADDRESS).and_then(|rest| rest.strip_prefix('?')).unwrap_or_default();
        for part in query.split('&') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "mode" => options.mode = mode_of(value).unwrap_or(options.mode),
                "places" => {
                    let places: Vec<Place> = Place::ALL
                        .into_iter()
                        .filter(|place| value.split(',').any(|name| name == place.name()))
                        .collect();
                    options.places = if places.is_empty() { options.places } else { places };
                }
                "seconds" => {
                    let seconds = value.parse::<f64>().ok();
                    options.seconds = seconds.filter(|seconds| (0.1..=MAX_SECONDS).contains(seconds));
                }
                "runs" => {
                    options.runs = value.parse().ok().filter(|runs| (1..=MAX_RUNS as u32).contains(runs))
                }
                "compare" => options.compare = true,
                "start" => options.start = true,
                "simulated" => {
                    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
                    let text: String = value.chars().filter(|c| is_plain(*c)).take(MAX_TEXT).collect();
                    options.simulated = Some(text).filter(|text| !text.is_empty());
                }
                _ => {}
            }
        }
        options
    }

    /// The address that gives these options, without the wish to start.
    pub fn address(&self) -> String {
        let places: Vec<&str> = self.places.iter().map(|place| place.name()).collect();
        let seconds = self.seconds.map(|seconds| format!("&seconds={seconds}")).unwrap_or_default();
        let runs = self.runs.map(|runs| format!("&runs={runs}")).unwrap_or_default();
        let compare = if self.compare { "&compare" } else { "" };
        let simulated = self.simulated.as_ref().map(|text| format!("&simulated={text}")).unwrap_or_default();
        format!(
            "{ADDRESS}?mode={}&places={}{seconds}{runs}{compare}{simulated}",
            mode_name(self.mode),
            places.join(",")
        )
    }

    /// The rules that follow.
    pub fn settings(&self) -> Settings {
        let (seconds, least_runs) = match self.mode {
            Mode::Quick => (5.0, 20),
            Mode::Full => (60.0, 1024),
            Mode::Sustained => (60.0, 1),
        };
        Settings {
            mode: self.mode,
            seconds: self.seconds.unwrap_or(seconds),
            least_runs: self.runs.unwrap_or(least_runs),
        }
    }
}

/// The mode's name in addresses.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Quick => "quick",
        Mode::Full => "full",
        Mode::Sustained => "sustained",
    }
}

/// The mode of that name.
pub fn mode_of(name: &str) -> Option<Mode> {
    [Mode::Quick, Mode::Full, Mode::Sustained].into_iter().find(|mode| mode_name(*mode) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_goes_into_the_address_and_comes_back() {
        let options = Options {
            mode: Mode::Full,
            places: vec![Place::CpuSimd, Place::Onnxruntime],
            seconds: Some(90.5),
            runs: Some(7),
            compare: true,
            start: false,
            simulated: Some("cpu-4x".into()),
        };
        assert_eq!(Options::of(&options.address(), Place::CpuRelaxed), options);
        let started = format!("{}&start", options.address());
        assert_eq!(Options::of(&started, Place::CpuRelaxed), Options { start: true, ..options });
    }

    #[test]
    fn what_is_not_understood_changes_nothing() {
        let plain = Options::of("#benchmark", Place::CpuRelaxed);
        assert_eq!((plain.mode, plain.settings().seconds), (Mode::Quick, 5.0));
        for address in [
            "",
            "#benchmark?",
            "#benchmark?mode=fast&places=&seconds=-1",
            "#benchmark?seconds=1e9&places=nowhere&=&&x=y",
            "#benchmark?seconds=NaN&simulated=&runs=0",
            "#benchmark?simulated=%3Cb%3E<>",
        ] {
            let options = Options::of(address, Place::CpuRelaxed);
            let expected = Options { simulated: options.simulated.clone(), ..plain.clone() };
            assert_eq!(options, expected, "{address}");
            assert!(options.simulated.is_none_or(|text| text == "3Cb3E"), "{address}");
        }
        let long = format!("#benchmark?simulated={}", "x".repeat(999));
        assert_eq!(Options::of(&long, Place::CpuRelaxed).simulated.unwrap().len(), MAX_TEXT);
    }
}
