//! One visit: the page measures itself on a phone's screen, with less of the processor's time, and saves its result.

use super::chromium::Chromium;
use super::config::MobileConfig;
use super::patience::{LOOK, Patience};
use super::report::MobileRun;
use super::throttle::Throttle;
use crate::files::read_limited;
use anyhow::{Context, Result, bail, ensure};
use engine::benchmark::BenchmarkReport;
use engine::benchmark::report::MAX_BYTES;
use serde_json::{Value, json};
use std::path::Path;

/// Width and height of the phone's screen, in pixels of the page, and the screen's own pixels to each of them.
pub(super) const SCREEN: [u32; 3] = [390, 844, 3];
/// A visit whose page keeps nothing for use without a network: that would go on beside the first measurement, not beside the next.
const NOTHING_KEPT: &str = "delete Navigator.prototype.serviceWorker";
/// Where the page is, in its own words.
const STATE: &str = "(() => { const at = (id) => document.getElementById(id); return { \
    app: at('app')?.dataset.state, bench: at('bench')?.dataset.state, doing: at('bench-status')?.textContent, \
    error: at('bench-error-message')?.textContent }; })()";
/// Makes the browser write the page's result to a file, as a visitor does.
const SAVE: &str = "document.getElementById('bench-save').click()";
const OTHER_VERSION: &str = "it is of another version than this program; run `cargo xtask build`";

/// What is measured.
pub(super) struct Visit<'a> {
    /// Where the page is.
    pub url: &'a str,
    /// How it is measured.
    pub config: &'a MobileConfig,
    /// Times slower.
    pub rate: f64,
    /// SHA-256 of the network that the page must judge with.
    pub network: &'a str,
}

impl Visit<'_> {
    /// The page's result.
    ///
    /// # Errors
    /// If the browser fails or hangs, nothing could be measured, or the page is of another version or has another network.
    pub fn measure(&self, browser: &mut Chromium, patience: &Patience) -> Result<MobileRun> {
        let of = || format!("in the measurement at {} times the time", self.rate);
        self.measured(browser, patience).with_context(of)
    }

    fn measured(&self, browser: &mut Chromium, patience: &Patience) -> Result<MobileRun> {
        let context = text(
            browser.call(None, "Target.createBrowserContext", json!({}), patience)?,
            "browserContextId",
        )?;
        let mut tab = Tab::open(browser, &context, patience)?;
        tab.be_a_phone()?;
        tab.go_to(&format!("{}#benchmark", self.url))?;
        tab.wait_for("the start of the page", |state| self.has_started(state), None)?;
        let throttle = match self.rate > 1.0 {
            true => Some(Throttle::start(tab.browser.renderers(patience)?, self.rate)),
            false => None,
        };
        tab.run(&format!("location.hash = '{}'", self.address()))?;
        tab.wait_for("the measurement", |state| self.is_done(state), throttle.as_ref())?;
        let measured_rate = throttle.map(Throttle::end);
        let json = tab.save(&context)?;
        browser.call(
            None,
            "Target.disposeBrowserContext",
            json!({ "browserContextId": context }),
            patience,
        )?;
        Ok(MobileRun::new(self.rate, measured_rate, self.checked(&json)?))
    }

    /// How the page calls what is done to it.
    fn label(&self) -> String {
        label(self.rate)
    }

    fn address(&self) -> String {
        let MobileConfig { seconds, runs, .. } = self.config;
        format!("#benchmark?mode=quick&start&seconds={seconds}&runs={runs}&simulated={}", self.label())
    }

    fn has_started(&self, state: &Value) -> Result<bool> {
        let named = |name: &str| state.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match (named("app").as_str(), named("bench").as_str()) {
            // Not there yet.
            ("" | "starting", _) => Ok(false),
            ("browser-too-old" | "start-failed", _) => bail!("the page does not start in this browser"),
            (_, "") => bail!("the page in {} has no benchmark: {OTHER_VERSION}", self.site()),
            (_, "idle") => Ok(true),
            (_, bench) => {
                bail!("the page in {} is {bench:.20} before it was asked: {OTHER_VERSION}", self.site())
            }
        }
    }

    fn is_done(&self, state: &Value) -> Result<bool> {
        match state.get("bench").and_then(Value::as_str) {
            Some("done") => Ok(true),
            Some("error") => {
                let why = state.get("error").and_then(Value::as_str).unwrap_or_default();
                bail!("the page measured nothing: {why:.300}")
            }
            // "idle" until it has heard of its new address.
            _ => Ok(false),
        }
    }

    /// The result in `json`, if it is what was asked for.
    fn checked(&self, json: &[u8]) -> Result<BenchmarkReport> {
        let other = || format!("the page in {} cannot be read: {OTHER_VERSION}", self.site());
        let report = BenchmarkReport::parse(json).with_context(other)?;
        ensure!(
            report.engine_version == engine::VERSION,
            "the page in {} has engine {}, this program {}: {OTHER_VERSION}",
            self.site(),
            report.engine_version,
            engine::VERSION
        );
        ensure!(
            report.simulated == Some(self.label()),
            "the page in {} does not call its result simulated: {OTHER_VERSION}",
            self.site()
        );
        ensure!(
            report.model.sha256 == self.network,
            "the page in {} judges with {} {}, whose first network is another one (sha256 {:.12}, the bundle's {:.12}); measure \
             the bundle that the page was built with, or build the page with this one",
            self.site(),
            report.model.name,
            report.model.version,
            report.model.sha256,
            self.network
        );
        Ok(report)
    }

    fn site(&self) -> std::path::Display<'_> {
        self.config.site.display()
    }
}

/// How a slow-down is called wherever its figures stand.
pub(super) fn label(rate: f64) -> String {
    format!("cpu-{rate}x")
}

/// The page in the browser.
struct Tab<'a> {
    browser: &'a mut Chromium,
    session: String,
    patience: &'a Patience<'a>,
}

impl<'a> Tab<'a> {
    /// An empty page that shares nothing with others.
    fn open(browser: &'a mut Chromium, context: &str, patience: &'a Patience) -> Result<Self> {
        let asked = json!({ "url": "about:blank", "browserContextId": context });
        let target = text(browser.call(None, "Target.createTarget", asked, patience)?, "targetId")?;
        let asked = json!({ "targetId": target, "flatten": true });
        let session = text(browser.call(None, "Target.attachToTarget", asked, patience)?, "sessionId")?;
        Ok(Tab { browser, session, patience })
    }

    fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.browser.call(Some(&self.session), method, params, self.patience)
    }

    /// Screen and fingers of a phone.
    fn be_a_phone(&mut self) -> Result<()> {
        let [width, height, ratio] = SCREEN;
        self.call("Inspector.enable", json!({}))?;
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": ratio, "mobile": true,
                "screenWidth": width, "screenHeight": height }),
        )?;
        self.call("Emulation.setTouchEmulationEnabled", json!({ "enabled": true, "maxTouchPoints": 5 }))?;
        self.call("Page.enable", json!({}))?;
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": NOTHING_KEPT }))?;
        Ok(())
    }

    fn go_to(&mut self, url: &str) -> Result<()> {
        let went = self.call("Page.navigate", json!({ "url": url }))?;
        let error = went.get("errorText").and_then(Value::as_str);
        error.map_or(Ok(()), |error| bail!("the browser does not open the page: {error:.300}"))
    }

    /// The value of a script.
    fn run(&mut self, script: &str) -> Result<Value> {
        let mut ran =
            self.call("Runtime.evaluate", json!({ "expression": script, "returnByValue": true }))?;
        ensure!(
            ran.get("exceptionDetails").is_none(),
            "the page lacks what this program looks for: {OTHER_VERSION}"
        );
        Ok(ran.pointer_mut("/result/value").map(Value::take).unwrap_or_default())
    }

    /// Looks at the page until `is_reached`, and holds processes that came since to `throttle`.
    fn wait_for(
        &mut self,
        what: &str,
        is_reached: impl Fn(&Value) -> Result<bool>,
        throttle: Option<&Throttle>,
    ) -> Result<()> {
        while !is_reached(&self.run(STATE)?)? {
            self.patience.check(what)?;
            std::thread::sleep(LOOK);
            if let Some(throttle) = throttle {
                throttle.watch(self.browser.renderers(self.patience)?);
            }
        }
        Ok(())
    }

    /// What the page saves.
    fn save(&mut self, context: &str) -> Result<Vec<u8>> {
        let folder = self.browser.folder();
        let asked = json!({ "behavior": "allowAndName", "browserContextId": context, "downloadPath": folder,
            "eventsEnabled": true });
        self.browser.call(None, "Browser.setDownloadBehavior", asked, self.patience)?;
        self.run(SAVE)?;
        let is_over = |event: &Value| event["state"] != "inProgress";
        let saved = self.browser.event("Browser.downloadProgress", is_over, self.patience)?;
        ensure!(saved["state"] == "completed", "the browser did not save the result");
        let name = text(saved, "guid")?;
        // A name, and no path.
        ensure!(
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
            "the browser saved the result as {name:?}"
        );
        read_limited(&Path::new(&folder).join(name), MAX_BYTES as u64)
    }
}

fn text(mut answer: Value, name: &str) -> Result<String> {
    match answer.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        _ => bail!("the browser does not tell {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::result;
    use super::*;
    use std::time::Duration;

    fn config() -> MobileConfig {
        MobileConfig {
            site: "dist".into(),
            chromium: None,
            rates: vec![4.0],
            seconds: 1.5,
            runs: 7,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn the_address_says_everything() {
        let visit = Visit { url: "", config: &config(), rate: 2.5, network: "" };
        assert_eq!(visit.address(), "#benchmark?mode=quick&start&seconds=1.5&runs=7&simulated=cpu-2.5x");
    }

    #[test]
    fn a_result_of_another_page_is_refused_with_what_to_do() {
        let config = config();
        let visit = Visit { url: "", config: &config, rate: 4.0, network: "abc" };
        let ours = result(4.0, |_| {});
        let checked = |result: &BenchmarkReport| visit.checked(&serde_json::to_vec(result).unwrap());
        assert_eq!(checked(&ours).unwrap(), ours);
        type Change = fn(&mut BenchmarkReport);
        let cases: [(Change, &str); 4] = [
            (|r| r.schema_version = "2.0".into(), "schema_version is 2.0"),
            (|r| r.engine_version = "0.0.1".into(), "has engine 0.0.1"),
            (|r| r.simulated = None, "does not call its result simulated"),
            (|r| r.model.sha256 = "def".into(), "sha256 def, the bundle's abc"),
        ];
        for (change, says) in cases {
            let mut result = ours.clone();
            change(&mut result);
            let error = format!("{:#}", checked(&result).unwrap_err());
            assert!(error.contains(says) && error.contains("the page in dist"), "{says}: {error}");
        }
        assert!(
            format!("{:#}", visit.checked(b"<!doctype html>").unwrap_err()).contains("cargo xtask build")
        );
    }

    #[test]
    fn a_page_is_waited_for_while_it_may_still_come() {
        let config = config();
        let visit = Visit { url: "", config: &config, rate: 4.0, network: "" };
        let state =
            |app: Option<&str>, bench: Option<&str>| json!({ "app": app, "bench": bench, "error": "why" });
        for (app, bench) in [(None, None), (Some("starting"), None), (Some("starting"), Some("idle"))] {
            assert!(!visit.has_started(&state(app, bench)).unwrap());
        }
        assert!(visit.has_started(&state(Some("idle"), Some("idle"))).unwrap());
        for (app, bench, says) in [
            (Some("browser-too-old"), None, "does not start"),
            (Some("idle"), None, "has no benchmark"),
            (Some("idle"), Some("running"), "before it was asked"),
        ] {
            let error = visit.has_started(&state(app, bench)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(!visit.is_done(&state(None, Some("running"))).unwrap());
        assert!(visit.is_done(&state(None, Some("done"))).unwrap());
        let error = visit.is_done(&state(None, Some("error"))).unwrap_err().to_string();
        assert!(error.contains("measured nothing: why"), "{error}");
        assert!(!visit.is_done(&Value::Null).unwrap());
    }
}
