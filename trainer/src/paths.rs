//! Where the published data sets lie: a JSON file that is written once, checked, and prepared from.

use crate::files::{read_text, write_json};
use crate::readers::{Compression, Layout, Place};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

/// Longest answer of [`DataPaths::ask`], in bytes.
const MAX_ANSWER_BYTES: u64 = 16 << 10;

/// Folders of the published sets; those without one are not used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataPaths {
    /// Celeb-DF v2.
    pub celebdf_v2: Option<PathBuf>,
    /// FaceForensics++.
    pub ffpp: Option<PathBuf>,
    /// DFDC as published.
    pub dfdc: Option<PathBuf>,
    /// DFDC sorted into `real` and `fake`.
    pub dfdc_classified: Option<PathBuf>,
    /// DF40.
    pub df40: Option<PathBuf>,
    /// Compressions of FaceForensics++ that are used; all if empty.
    pub compressions: Vec<Compression>,
}

/// Keys of the file: the sets, then the rest.
const KEYS: [&str; 6] = ["celebdf_v2", "ffpp", "dfdc", "dfdc_classified", "df40", "compressions"];
const LAYOUTS: [Layout; 5] =
    [Layout::Celebdf, Layout::Ffpp, Layout::Dfdc, Layout::DfdcClassified, Layout::Df40];

impl DataPaths {
    /// The paths in the JSON file at `path`; relative ones start where it lies.
    ///
    /// # Errors
    /// With the line, if it is no UTF-8, not JSON, has an unknown key, or a value of the wrong type.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let mut paths: DataPaths = serde_json::from_str(&text).map_err(|error| {
            let key = key_before(&text, &error).map_or(String::new(), |key| format!("{key:?}: "));
            anyhow::anyhow!("{}: {key}{error}", path.display())
        })?;
        let start = path.parent().unwrap_or(Path::new(""));
        for folder in paths.folders_mut().into_iter().flatten() {
            *folder = start.join(&*folder);
        }
        Ok(paths)
    }

    /// Writes the paths as JSON.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_json(path, self)
    }

    /// The sets that have a folder.
    ///
    /// # Errors
    /// If none has, or a folder is not there or does not look like its set; all such are named.
    pub fn places(&self) -> Result<Vec<Place>> {
        let (mut places, mut wrong) = (Vec::new(), Vec::new());
        for ((key, layout), folder) in KEYS.iter().zip(LAYOUTS).zip(self.clone().folders_mut()) {
            if let Some(folder) = folder {
                match place(key, layout, folder) {
                    Ok(place) => places.push(place),
                    Err(error) => wrong.push(format!("{key}: {error}")),
                }
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        ensure!(!places.is_empty(), "no data set has a path");
        Ok(places)
    }

    /// Asks for each path, line by line; an empty answer keeps what `self` has, `-` is no path.
    ///
    /// # Errors
    /// If the answers end too early, or reading or writing fails.
    pub fn ask(mut self, answers: &mut impl BufRead, questions: &mut impl Write) -> Result<Self> {
        for ((key, layout), folder) in KEYS.iter().zip(LAYOUTS).zip(self.folders_mut()) {
            loop {
                let now = folder.as_ref().map_or("none".into(), |folder| folder.display().to_string());
                let question = format!("{key}: folder with {} [{now}]: ", layout.looks_for());
                match ask(answers, questions, &question)?.as_str() {
                    "" => break,
                    "-" => *folder = None,
                    answer => match std::path::absolute(answer).map(|path| place(key, layout, &path)) {
                        Ok(Ok(place)) => *folder = Some(place.folder),
                        Ok(Err(error)) => {
                            writeln!(questions, "{error}")?;
                            continue;
                        }
                        Err(error) => bail!("{answer:?}: {error}"),
                    },
                }
                break;
            }
        }
        loop {
            let now: Vec<_> = self.compressions.iter().map(|compression| compression.name()).collect();
            let now = if now.is_empty() { "all".into() } else { now.join(",") };
            let question = format!("compressions of ffpp, some of c0,c23,c40 [{now}]: ");
            let answer = ask(answers, questions, &question)?;
            if answer.is_empty() {
                return Ok(self);
            }
            match answer.split(',').map(|name| clap::ValueEnum::from_str(name.trim(), false)).collect() {
                Ok(compressions) => return Ok(DataPaths { compressions, ..self }),
                Err(_) => writeln!(questions, "{answer:?} is none of c0, c23 and c40, or a list of them")?,
            }
        }
    }

    /// In the order of [`KEYS`].
    fn folders_mut(&mut self) -> [&mut Option<PathBuf>; 5] {
        let DataPaths { celebdf_v2, ffpp, dfdc, dfdc_classified, df40, compressions: _ } = self;
        [celebdf_v2, ffpp, dfdc, dfdc_classified, df40]
    }
}

fn place(key: &str, layout: Layout, folder: &Path) -> Result<Place> {
    let place = Place { dataset: key.to_owned(), folder: folder.to_owned(), layout };
    ensure!(folder.to_str().is_some(), "the name of {} is not UTF-8; rename it", folder.display());
    ensure!(folder.is_dir(), "{} is no folder", folder.display());
    ensure!(place.fits(), "{} holds no {}", folder.display(), layout.looks_for());
    Ok(place)
}

fn ask(answers: &mut impl BufRead, questions: &mut impl Write, question: &str) -> Result<String> {
    write!(questions, "{question}").and_then(|()| questions.flush()).context("cannot ask")?;
    let mut answer = String::new();
    answers.take(MAX_ANSWER_BYTES).read_line(&mut answer).context("cannot read the answer")?;
    ensure!(answer.ends_with('\n'), "the answers ended at \"{}\"", question.trim());
    Ok(answer.trim().to_owned())
}

/// The key whose value broke the parser: the last one before the place of `error`.
fn key_before(text: &str, error: &serde_json::Error) -> Option<&'static str> {
    let lines: usize = text.split_inclusive('\n').take(error.line().checked_sub(1)?).map(str::len).sum();
    let before = text.as_bytes().get(..lines + error.column())?;
    let before = String::from_utf8_lossy(before);
    let found = KEYS.iter().filter_map(|key| Some((before.rfind(&format!("{key:?}"))?, *key)));
    found.max().map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, text: &[u8]) -> Result<DataPaths> {
        let path = std::env::temp_dir().join(format!("aware-paths-{}-{name}.json", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let paths = DataPaths::read(&path);
        std::fs::remove_file(&path).unwrap();
        paths
    }

    #[test]
    fn c04_what_is_wrong_is_named_with_key_and_line() {
        struct Case {
            text: &'static [u8],
            says: [&'static str; 2],
        }
        let cases = [
            Case { text: b"{\n\"celebdf_v2\": null,\n\"celebdf\": \"x\"\n}", says: ["celebdf`", "line 3"] },
            Case { text: b"{\n\"ffpp\": \"x\",\n\"dfdc\":\n 3}", says: ["\"dfdc\"", "line 4"] },
            Case { text: b"{\"compressions\":\n [\"c23\", \"c99\"]}", says: ["\"compressions\"", "line 2"] },
            Case { text: b"{\"ffpp\": \"x\",\n\"ffpp\": \"y\"}", says: ["duplicate field `ffpp`", "line 2"] },
            Case { text: b"{\"ffpp\": \"x\"\n\"dfdc\": \"y\"}", says: ["expected `,`", "line 2"] },
            Case { text: b"{\n\"ffpp\": \"\xff\"}", says: ["UTF-8", "line 2"] },
            Case { text: b"", says: ["EOF", "line 1"] },
        ];
        for (number, case) in cases.iter().enumerate() {
            let error = format!("{:#}", parse(&number.to_string(), case.text).unwrap_err());
            assert!(case.says.iter().all(|say| error.contains(say)), "{:?}: {error}", case.says);
        }
        assert_eq!(parse("none", b"{}").unwrap(), DataPaths::default());
    }

    #[test]
    fn answers_that_end_early_are_an_error() {
        let error = DataPaths::default().ask(&mut &b"\n"[..], &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("ffpp"), "{error}");
    }
}
