//! `cargo xtask bench compare`: results of a benchmark against those that were kept, as ratios to a peer of the same run.
//!
//! Milliseconds say how busy a machine is; what we take by what a peer takes beside us says how fast the code is.

use crate::say::say;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::Path;

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Better {
    Lower,
    Higher,
}

/// What came of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Within the tolerance.
    Same,
    /// Beyond it, the good way.
    Improved,
    /// Beyond it, the bad way.
    Worse,
}

/// A ratio that was kept.
#[derive(Debug, Clone, PartialEq)]
struct Metric {
    /// Our column.
    column: String,
    /// The peer's; none for a number that stands for itself, as a count of bytes.
    over: Option<String>,
    /// Which of a column's numbers.
    field: String,
    better: Better,
    /// What was measured when it was kept.
    kept: f64,
    /// What a change may be, as a share; the baseline's where it is not said.
    tolerance: Option<f64>,
}

/// Compares the benchmark's JSON at `result` with `baseline`; with `write` the baseline takes the new values instead.
///
/// # Errors
/// If a file does not read, a column is missing, or a metric is worse than the tolerance allows.
pub fn compare(baseline: &Path, result: &Path, write: Write) -> Result<()> {
    let mut kept = read(baseline)?;
    let measured = read(result)?;
    let tolerance = kept.get("tolerance").and_then(Value::as_f64).context("the baseline has no tolerance")?;
    check_tolerance(tolerance)?;
    let metrics =
        kept.get_mut("metrics").and_then(Value::as_array_mut).context("the baseline has no metrics")?;
    let mut worse = 0;
    for entry in metrics {
        let metric = Metric::read(entry)?;
        let value = metric.value(&measured)?;
        let outcome = metric.outcome(value, metric.tolerance.unwrap_or(tolerance));
        worse += usize::from(outcome == Outcome::Worse);
        let word = match outcome {
            Outcome::Same => "same",
            Outcome::Improved => "improved",
            Outcome::Worse => "WORSE",
        };
        say!("{word:9} {:8.4} kept {:8.4}  {}", value, metric.kept, metric.name());
        if write == Write::Keep {
            entry["kept"] = value.into();
        }
    }
    if write == Write::Keep {
        let json = serde_json::to_string_pretty(&kept)? + "\n";
        return std::fs::write(baseline, json)
            .with_context(|| format!("cannot write {}", baseline.display()));
    }
    ensure!(
        worse == 0,
        "{worse} metrics are worse by more than {:.0} %, or their own tolerance",
        100.0 * tolerance
    );
    Ok(())
}

/// What is done with new values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// They are compared.
    Nothing,
    /// They become the baseline.
    Keep,
}

impl Metric {
    fn read(entry: &Value) -> Result<Self> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
        let better = match text("better").as_deref() {
            Some("lower") => Better::Lower,
            Some("higher") => Better::Higher,
            other => bail!("better is {other:?}, expected \"lower\" or \"higher\""),
        };
        let kept = entry.get("kept").and_then(Value::as_f64).filter(|kept| *kept > 0.0);
        let tolerance = entry.get("tolerance").and_then(Value::as_f64);
        tolerance.map_or(Ok(()), check_tolerance)?;
        Ok(Metric {
            column: text("column").context("a metric has no column")?,
            over: text("over"),
            field: text("field").context("a metric has no field")?,
            better,
            kept: kept.context("a metric has no positive number \"kept\"")?,
            tolerance,
        })
    }

    fn name(&self) -> String {
        match &self.over {
            Some(over) => format!("{} of {:?} over that of {over:?}", self.field, self.column),
            None => format!("{} of {:?}", self.field, self.column),
        }
    }

    fn value(&self, measured: &Value) -> Result<f64> {
        let columns =
            measured.get("columns").and_then(Value::as_array).context("the result has no columns")?;
        let of = |name: &str| {
            let column =
                columns.iter().find(|column| column.get("name").and_then(Value::as_str) == Some(name));
            let column = column.with_context(|| format!("the result has no column {name:?}"))?;
            let value = column.get(&self.field).and_then(Value::as_f64).filter(|value| *value > 0.0);
            value.with_context(|| format!("{name:?} has no positive number {:?}", self.field))
        };
        let own = of(&self.column)?;
        Ok(match &self.over {
            Some(over) => own / of(over)?,
            None => own,
        })
    }

    fn outcome(&self, value: f64, tolerance: f64) -> Outcome {
        // How many times worse it is.
        let ratio = match self.better {
            Better::Lower => value / self.kept,
            Better::Higher => self.kept / value,
        };
        if ratio > 1.0 + tolerance {
            Outcome::Worse
        } else if ratio < 1.0 / (1.0 + tolerance) {
            Outcome::Improved
        } else {
            Outcome::Same
        }
    }
}

fn check_tolerance(tolerance: f64) -> Result<()> {
    ensure!((0.0..1.0).contains(&tolerance), "the tolerance is {tolerance}, expected 0 to below 1");
    Ok(())
}

fn read(path: &Path) -> Result<Value> {
    let context = || format!("cannot read {}", path.display());
    let size = std::fs::metadata(path).with_context(context)?.len();
    ensure!(size <= MAX_BYTES, "{} has {size} bytes, at most {MAX_BYTES} are read", path.display());
    serde_json::from_slice(&std::fs::read(path).with_context(context)?).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metric(better: Better) -> Metric {
        let over = Some("peer".to_owned());
        Metric { column: "ours".into(), over, field: "median_ms".into(), better, kept: 0.2, tolerance: None }
    }

    #[test]
    fn the_direction_decides_what_is_worse() {
        for (better, value, outcome) in [
            (Better::Lower, 0.2, Outcome::Same),
            (Better::Lower, 0.219, Outcome::Same),
            (Better::Lower, 0.221, Outcome::Worse),
            (Better::Lower, 0.18, Outcome::Improved),
            (Better::Higher, 0.221, Outcome::Improved),
            (Better::Higher, 0.18, Outcome::Worse),
        ] {
            assert_eq!(metric(better).outcome(value, 0.1), outcome, "{better:?} {value}");
        }
    }

    #[test]
    fn a_ratio_is_of_two_columns_of_one_result() -> Result<()> {
        let result = json!({ "columns": [
            { "name": "ours", "median_ms": 4.0 },
            { "name": "peer", "median_ms": 20.0 },
        ] });
        let metric = metric(Better::Lower);
        assert_eq!(metric.value(&result)?, 0.2);
        assert_eq!(Metric { over: None, ..metric.clone() }.value(&result)?, 4.0);
        for (column, field) in [("other", "median_ms"), ("ours", "p90_ms")] {
            let metric = Metric { column: column.into(), field: field.into(), ..metric.clone() };
            assert!(metric.value(&result).is_err(), "{column} {field}");
        }
        Ok(())
    }

    #[test]
    fn a_worse_result_fails_until_it_is_kept() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("aware-baseline-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let [baseline, result] = ["baseline.json", "result.json"].map(|name| folder.join(name));
        let entry =
            json!({ "column": "ours", "over": "peer", "field": "median_ms", "better": "lower", "kept": 0.1 });
        std::fs::write(&baseline, json!({ "tolerance": 0.1, "metrics": [entry] }).to_string())?;
        let columns = json!([{ "name": "ours", "median_ms": 4.0 }, { "name": "peer", "median_ms": 20.0 }]);
        std::fs::write(&result, json!({ "columns": columns }).to_string())?;
        assert!(compare(&baseline, &result, Write::Nothing).is_err());
        compare(&baseline, &result, Write::Keep)?;
        compare(&baseline, &result, Write::Nothing)?;
        // A metric may be held to less than the others.
        let strict =
            json!({ "column": "ours", "field": "auc", "better": "higher", "kept": 0.8, "tolerance": 0.01 });
        std::fs::write(&baseline, json!({ "tolerance": 0.1, "metrics": [strict] }).to_string())?;
        for (auc, holds) in [(0.795, true), (0.785, false)] {
            std::fs::write(&result, json!({ "columns": [{ "name": "ours", "auc": auc }] }).to_string())?;
            assert_eq!(compare(&baseline, &result, Write::Nothing).is_ok(), holds, "{auc}");
        }
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }

    #[test]
    fn the_kept_baselines_read() -> Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/baselines");
        let mut count = 0;
        for entry in std::fs::read_dir(folder)? {
            let baseline = read(&entry?.path())?;
            let metrics = baseline["metrics"].as_array().context("no metrics")?;
            metrics.iter().try_for_each(|metric| Metric::read(metric).map(drop))?;
            count += metrics.len();
        }
        assert!(count >= 4, "{count} metrics");
        Ok(())
    }
}
