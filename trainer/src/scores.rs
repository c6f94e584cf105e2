//! Scores of a network on disk: one CSV row a picture, which is all that judging needs.

use crate::metrics::Scored;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::Path;

/// Largest file of scores that is read.
const MAX_FILE_BYTES: u64 = 512 << 20;
/// Most rows that are read.
const MAX_ROWS: usize = 1_000_000;

/// What a network said of one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreRow {
    /// The picture; matches the rows of two runs.
    pub path: String,
    /// 0 real, 1 fake.
    pub label: u8,
    /// Name of the data set.
    pub dataset: String,
    /// Pictures of one group share a source.
    pub group: String,
    /// Output of the network before any temperature; grows with P(fake).
    pub logit: f64,
    /// P(fake) by cues that know nothing of faces, as the control; absent if nobody asked.
    #[serde(default)]
    pub trivial_cues: Option<f64>,
}

impl ScoreRow {
    /// P(fake) at `temperature`.
    pub fn probability(&self, temperature: f64) -> Scored {
        Scored { score: engine::verdict::probability_fake(self.logit as f32, temperature), ..self.raw() }
    }

    /// What the control says, if it was asked.
    pub fn control(&self) -> Option<Scored> {
        Some(Scored { score: self.trivial_cues?, ..self.raw() })
    }

    /// The group, told apart from groups of other data sets: their names may happen to be the same.
    pub fn source(&self) -> String {
        format!("{}/{}", self.dataset, self.group)
    }

    /// The logit as score.
    pub fn raw(&self) -> Scored {
        Scored { score: self.logit, fake: self.label == 1 }
    }
}

/// Every row of the file at `path`.
///
/// # Errors
/// If it does not read, is too large or empty, or naming the line: a column is missing or unknown, a
/// label is not 0 or 1, a logit or a control's score is no finite number, or a picture is there twice.
pub fn read_scores(path: &Path) -> Result<Vec<ScoreRow>> {
    let bytes = crate::files::read_limited(path, MAX_FILE_BYTES)?;
    parse(&bytes).with_context(|| format!("in {}", path.display()))
}

/// Writes `rows` to `path`.
///
/// # Errors
/// If the file cannot be written whole.
pub fn write_scores(path: &Path, rows: &[ScoreRow]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    crate::files::write_whole(path, &writer.into_inner().context("cannot finish the scores")?)
}

fn parse(bytes: &[u8]) -> Result<Vec<ScoreRow>> {
    let mut reader = csv::Reader::from_reader(bytes);
    let headers = reader.headers()?.clone();
    let (mut rows, mut seen): (Vec<ScoreRow>, _) = (Vec::new(), HashSet::new());
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let row: ScoreRow = record.deserialize(Some(&headers)).with_context(|| format!("line {line}"))?;
        ensure!(row.label <= 1, "line {line}: label {} is neither 0 nor 1", row.label);
        ensure!(row.logit.is_finite(), "line {line}: logit {} is no finite number", row.logit);
        let control = row.trivial_cues.unwrap_or(0.0);
        ensure!(control.is_finite(), "line {line}: trivial_cues {control} is no finite number");
        if !seen.insert(row.path.clone()) {
            bail!("line {line}: {:?} is there twice", row.path);
        }
        rows.push(row);
        ensure!(rows.len() <= MAX_ROWS, "more than {MAX_ROWS} rows");
    }
    ensure!(!rows.is_empty(), "no rows");
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_or_refused_with_their_line() {
        let read = |rows: &str| parse(format!("path,label,dataset,group,logit\n{rows}").as_bytes());
        let rows = read("a.png,1,set,g,-0.5\n\"b,c.png\",0,set,h,2e1\n").unwrap();
        assert_eq!((rows[0].logit, rows[1].path.as_str(), rows[1].logit), (-0.5, "b,c.png", 20.0));
        let with_control =
            parse(b"path,label,dataset,group,logit,trivial_cues\na,1,s,g,1,0.25\nb,1,s,g,1,\n");
        assert_eq!(
            with_control.unwrap().iter().map(|row| row.trivial_cues).collect::<Vec<_>>(),
            [Some(0.25), None]
        );
        let long_before = "a,0,s,g,1\n";
        for (bad, why) in [
            ("b,1,s,g,NaN\n", "line 3: logit NaN"),
            ("b,1,s,g,inf\n", "line 3: logit inf"),
            ("b,2,s,g,1\n", "line 3: label 2"),
            ("b,1,s,g,\n", "line 3"),
            ("b,1,s,g\n", "line: 3"),
            ("a,1,s,g,1\n", "line 3: \"a\" is there twice"),
        ] {
            let error = format!("{:#}", read(&format!("{long_before}{bad}")).unwrap_err());
            assert!(error.contains(why), "{error:?} should contain {why:?}");
        }
        assert!(read("").unwrap_err().to_string().contains("no rows"));
        let error = parse(b"path,label,dataset,group,score\na,1,s,g,1\n").unwrap_err();
        assert!(format!("{error:#}").contains("score"), "{error:#}");
    }

    #[test]
    fn a_temperature_changes_certainty_only() {
        let row = ScoreRow {
            path: "a".into(),
            label: 1,
            dataset: "s".into(),
            group: "g".into(),
            logit: 2.0,
            trivial_cues: None,
        };
        assert!((row.probability(2.0).score - 0.731_058_578_630_004_9).abs() < 1e-12);
        assert_eq!(row.raw(), Scored { score: 2.0, fake: true });
        let certain = ScoreRow { logit: -1e300, ..row };
        assert_eq!(certain.probability(1.0).score, 0.0);
    }
}
