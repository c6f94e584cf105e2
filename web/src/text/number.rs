//! Figures as the language writes them.

use super::{text, text_with};

/// `value` with so many digits behind the point.
#[inline(never)]
pub fn decimal(value: f64, digits: usize) -> String {
    figures(&format!("{value:.digits$}"))
}

/// A number that is written with a point, as the language writes it.
#[inline(never)]
pub fn figures(number: &str) -> String {
    number.replace('.', text("figure.point"))
}

/// All digits of `value`, those that the command line's JSON has.
#[inline(never)]
pub fn all_digits(value: f64) -> String {
    figures(&serde_json::to_string(&value).unwrap_or_default())
}

/// A share in percent.
#[inline(never)]
pub fn percent_of(share: f64, digits: usize) -> String {
    text_with("figure.percent", &[("number", &decimal(share * 100.0, digits))])
}

/// P(fake) in percent, never rounded to certainty.
#[inline(never)]
pub fn percent(probability: f64) -> String {
    if probability > 0.999 {
        text_with("number.over", &[("percent", &percent_of(0.999, 1))])
    } else if probability < 0.001 {
        text_with("number.under", &[("percent", &percent_of(0.001, 1))])
    } else {
        percent_of(probability, 1)
    }
}

/// A time in milliseconds.
#[inline(never)]
pub fn milliseconds(value: f64) -> String {
    text_with("figure.milliseconds", &[("number", &decimal(value, 1))])
}

/// Width and height.
#[inline(never)]
pub fn size([width, height]: [u32; 2]) -> String {
    text_with("figure.size", &[("width", &width.to_string()), ("height", &height.to_string())])
}

/// From the least to the most.
#[inline(never)]
pub fn range(least: &str, most: &str) -> String {
    text_with("number.range", &[("least", least), ("most", most)])
}

/// Yes or no.
pub fn yes(value: bool) -> &'static str {
    if value { text("answer.yes") } else { text("answer.no") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::SPOKEN;

    #[test]
    fn percentages_are_never_certain() {
        let cases = [
            (0.0, "under 0.1\u{a0}%"),
            (0.0012, "0.1\u{a0}%"),
            (0.5, "50.0\u{a0}%"),
            (0.999, "99.9\u{a0}%"),
            (1.0, "over 99.9\u{a0}%"),
        ];
        for (probability, text) in cases {
            assert_eq!(percent(probability), text);
        }
    }

    #[test]
    fn probabilities_have_the_digits_of_the_command_line() {
        let cases = [(0.5, "0.5"), (0.1 + 0.2, "0.30000000000000004"), (0.0, "0.0"), (1e-7, "1e-7")];
        for (value, text) in cases {
            assert_eq!(all_digits(value), text);
        }
    }

    #[test]
    fn a05_germans_write_a_comma() {
        SPOKEN.set("de");
        assert_eq!(percent(1.0), "über 99,9\u{a0}%");
        assert_eq!(milliseconds(4.25), "4,2 ms");
        assert_eq!(all_digits(0.30000000000000004), "0,30000000000000004");
    }
}
