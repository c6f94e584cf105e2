//! Which bytes of a file a request asks for (RFC 9110, 14): a download that broke off goes on where it stopped.

use std::fs::Metadata;
use std::time::UNIX_EPOCH;

/// What is sent of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The bytes from `first` to `last`.
    Range {
        /// First byte.
        first: u64,
        /// Last byte, which is sent too.
        last: u64,
    },
    /// Nothing: it has no such bytes.
    Nothing,
}

impl Part {
    /// The part of a file of `bytes` bytes and with the tag `tag` that the headers `Range` and `If-Range` of a request mean.
    ///
    /// A header that is not understood is passed by, as the standard asks; so are several ranges at once.
    pub fn of(range: Option<&str>, if_range: Option<&str>, tag: &str, bytes: u64) -> Self {
        let wanted = range.filter(|_| if_range.is_none_or(|known| known == tag));
        let Some((first, last)) =
            wanted.and_then(|range| range.strip_prefix("bytes=")).and_then(|range| range.split_once('-'))
        else {
            return Part::Whole;
        };
        match (number(first), number(last)) {
            (Some(first), None) if last.is_empty() => Part::between(first, u64::MAX, bytes),
            (Some(first), Some(last)) if first <= last => Part::between(first, last, bytes),
            (None, Some(0)) if first.is_empty() => Part::Nothing,
            (None, Some(count)) if first.is_empty() => {
                Part::between(bytes.saturating_sub(count), u64::MAX, bytes)
            }
            _ => Part::Whole,
        }
    }

    /// The status of an answer with this part.
    pub fn status(self) -> u16 {
        match self {
            Part::Whole => 200,
            Part::Range { .. } => 206,
            Part::Nothing => 416,
        }
    }

    /// How many bytes it is of a file of `bytes` bytes.
    pub fn length(self, bytes: u64) -> u64 {
        match self {
            Part::Whole => bytes,
            Part::Range { first, last } => last - first + 1,
            Part::Nothing => 0,
        }
    }

    /// The header of that name, for a file of `bytes` bytes.
    pub fn content_range(self, bytes: u64) -> Option<String> {
        match self {
            Part::Whole => None,
            Part::Range { first, last } => Some(format!("bytes {first}-{last}/{bytes}")),
            Part::Nothing => Some(format!("bytes */{bytes}")),
        }
    }

    fn between(first: u64, last: u64, bytes: u64) -> Self {
        if first >= bytes { Part::Nothing } else { Part::Range { first, last: last.min(bytes - 1) } }
    }
}

/// Digits alone: `parse` would take a sign too.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A name for this version of a file: another one as soon as it is written again.
pub fn tag(metadata: &Metadata) -> String {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("\"{:x}-{:x}\"", metadata.len(), modified.unwrap_or_default().as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let part = |first, last| Part::Range { first, last };
        for (range, want) in [
            ("bytes=0-9", part(0, 9)),
            ("bytes=10-", part(10, 99)),
            ("bytes=99-", part(99, 99)),
            ("bytes=90-1000", part(90, 99)),
            ("bytes=-10", part(90, 99)),
            ("bytes=-1000", part(0, 99)),
            ("bytes=100-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=9-8", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=18446744073709551616-", Part::Whole),
            ("lines=0-9", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(Part::of(Some(range), None, "\"a\"", 100), want, "{range:?}");
        }
        assert_eq!(Part::of(None, None, "\"a\"", 100), Part::Whole);
        assert_eq!(Part::of(Some("bytes=0-"), None, "\"a\"", 0), Part::Nothing);
    }

    #[test]
    fn of_another_version_all_is_sent() {
        for (known, want) in [("\"a\"", Part::Range { first: 1, last: 9 }), ("\"b\"", Part::Whole)] {
            assert_eq!(Part::of(Some("bytes=1-"), Some(known), "\"a\"", 10), want, "{known}");
        }
    }
}
