//! Counts and lists of what became of all tests.

use crate::judge::{Outcome, Pass, Way};
use engine::ModelError;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};

/// What became of all tests.
pub struct Summary(Vec<(String, Outcome)>);

impl Summary {
    /// Of tests by name.
    pub fn new(outcomes: Vec<(String, Outcome)>) -> Self {
        Summary(outcomes)
    }

    fn count(&self, is_counted: impl Fn(&Outcome) -> bool) -> usize {
        self.0.iter().filter(|(_, outcome)| is_counted(outcome)).count()
    }

    /// How many tests passed.
    pub fn passed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Passed(_)))
    }

    /// How many gave another result, or a panic.
    pub fn wrong(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Wrong(_)))
    }

    /// How often each text that `text` finds is found, the most frequent first.
    fn grouped(&self, text: impl Fn(&Outcome) -> Option<String>) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        self.0
            .iter()
            .filter_map(|(_, outcome)| text(outcome))
            .for_each(|text| *counts.entry(text).or_default() += 1);
        let mut groups: Vec<(String, usize)> = counts.into_iter().collect();
        groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        groups
    }

    /// All of it, test by test.
    pub fn json(&self) -> Value {
        let tests = self.0.iter().map(|(name, outcome)| match outcome {
            Outcome::Passed(pass) => json!({
                "name": name, "outcome": "passed",
                "way": match pass.way {
                    Way::Plain => "plain",
                    Way::WithConstants => "with constants",
                    Way::FirstOutput => "first output",
                },
                "tight": pass.is_tight,
            }),
            Outcome::NotApplicable(why) => json!({ "name": name, "outcome": "not applicable", "why": why }),
            Outcome::Refused(why) => json!({ "name": name, "outcome": "refused", "why": why.to_string() }),
            Outcome::Wrong(why) => json!({ "name": name, "outcome": "wrong", "why": why }),
        });
        json!({ "passed": self.passed(), "wrong": self.wrong(), "tests": tests.collect::<Vec<_>>() })
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let passed = |is_counted: fn(Pass) -> bool| {
            self.count(|outcome| matches!(outcome, Outcome::Passed(pass) if is_counted(*pass)))
        };
        writeln!(
            f,
            "passed {}: {} as they are, {} with constants, {} so and with the first output alone; {} to 1e-5",
            self.passed(),
            passed(|pass| pass.way == Way::Plain),
            passed(|pass| pass.way == Way::WithConstants),
            passed(|pass| pass.way == Way::FirstOutput),
            passed(|pass| pass.is_tight),
        )?;
        let not_applicable = self.grouped(|outcome| match outcome {
            Outcome::NotApplicable(why) => Some(why.clone()),
            _ => None,
        });
        list(f, "not applicable", &not_applicable)?;
        let refused = self.grouped(|outcome| match outcome {
            Outcome::Refused(error) => Some(reason(error)),
            _ => None,
        });
        list(f, "refused", &refused)?;
        let operators = self.grouped(|outcome| match outcome {
            Outcome::Refused(ModelError::Operator { operator, .. }) => Some(operator.clone()),
            _ => None,
        });
        let operators: Vec<String> =
            operators.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(f, "operators that are not supported: {}", operators.join(", "))?;
        writeln!(f, "wrong {}", self.wrong())?;
        for (name, outcome) in &self.0 {
            if let Outcome::Wrong(why) = outcome {
                writeln!(f, "  {name}: {why}")?;
            }
        }
        Ok(())
    }
}

fn list(f: &mut Formatter<'_>, what: &str, groups: &[(String, usize)]) -> Result {
    writeln!(f, "{what} {}", groups.iter().map(|(_, count)| *count).sum::<usize>())?;
    groups.iter().try_for_each(|(reason, count)| writeln!(f, "{count:6}  {reason}"))
}

/// What `error` says, without what differs from test to test.
fn reason(error: &ModelError) -> String {
    match error {
        ModelError::Operator { .. } => "operator that is not supported".into(),
        ModelError::Node { detail, .. } => blurred(detail),
        ModelError::Constant { detail, .. } => format!("constant: {}", blurred(detail)),
        other => blurred(&other.to_string()),
    }
}

/// `text` with `#` for each number and each list of them.
fn blurred(text: &str) -> String {
    let mut blurred = String::new();
    let is_number = |letter: char| letter.is_ascii_digit() || "[]#".contains(letter);
    for letter in text.chars() {
        let is_inside = blurred.ends_with('#') && (is_number(letter) || letter == '.');
        match letter {
            _ if is_inside => (),
            _ if is_number(letter) => blurred.push('#'),
            _ => blurred.push(letter),
        }
    }
    blurred.replace("#, #", "#").replace("-#", "#")
}
