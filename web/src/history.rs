//! What was judged in this visit. It is in the page's memory alone, and gone with the page.

use crate::message::Failure;
use crate::state::no_verdict;
use crate::text::names::{label, video_label};
use crate::text::number::percent;
use crate::text::text_with;
use engine::Report;
use engine::video::verdict::VideoLabel;
use web_sys::Blob;

/// Most entries; older ones are forgotten.
const MAX_ENTRIES: usize = 200;

/// What was judged, the latest last.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    entries: Vec<Entry>,
    /// Grows with each change.
    pub revision: u32,
}

/// A file and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The file's name.
    pub name: String,
    /// The file, if it is a picture that can be shown again.
    pub file: Option<Blob>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A picture that was judged.
    Picture(Box<Report>),
    /// A video that was.
    Video(VideoLabel),
    /// There is no verdict.
    Failed(Failure),
}

impl History {
    /// Adds an entry.
    pub fn push(&mut self, entry: Entry) {
        if self.entries.len() == MAX_ENTRIES {
            self.entries.remove(0);
        }
        self.entries.push(entry);
        self.revision += 1;
    }

    /// Says the same in another language.
    pub fn say_again(&mut self) {
        self.revision += 1;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.revision += 1;
    }

    /// The entries, the latest last.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The reports on pictures, a line of JSON each.
    pub fn lines(&self) -> String {
        let mut lines = String::new();
        for entry in &self.entries {
            if let Outcome::Picture(report) = &entry.outcome {
                lines += &serde_json::to_string(report).unwrap_or_default();
                lines.push('\n');
            }
        }
        lines
    }
}

impl Outcome {
    /// The outcome in words.
    pub fn text(&self) -> String {
        match self {
            Outcome::Picture(report) => {
                let percent = percent(report.verdict.probability_fake);
                let values = [("label", label(report.verdict.label)), ("percent", &percent)];
                text_with("history.picture", &values)
            }
            Outcome::Video(label) => text_with("history.video", &[("label", video_label(*label))]),
            Outcome::Failed(failure) => no_verdict(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entries_are_forgotten_first() {
        let mut history = History::default();
        for number in 0..MAX_ENTRIES + 3 {
            let failure = Failure::new("empty", "the file is empty");
            history.push(Entry { name: number.to_string(), file: None, outcome: Outcome::Failed(failure) });
        }
        assert_eq!((history.entries().len(), &history.entries()[0].name[..]), (MAX_ENTRIES, "3"));
        assert_eq!(history.entries()[0].outcome.text(), "No verdict: the file is empty");
        assert_eq!(history.lines(), "");
        let before = history.revision;
        history.clear();
        assert!(history.entries().is_empty() && history.revision > before);
    }
}
