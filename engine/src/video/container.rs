//! The format of a video file by its first bytes, never by its name.

use serde::{Deserialize, Serialize};

/// A format of videos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Container {
    /// MP4, QuickTime and their kin.
    Mov,
    /// Matroska and WebM.
    Matroska,
    /// AVI.
    Avi,
    /// MPEG transport stream.
    MpegTs,
}

impl Container {
    /// The format by a file's first bytes; nothing if it is none of these.
    pub fn sniff(head: &[u8]) -> Option<Self> {
        let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
        let is_picture = ["avif", "avis", "heic", "heix", "hevc", "heim", "heis", "mif1", "msf1"]
            .iter()
            .any(|brand| at(8, brand.as_bytes()));
        if at(4, b"ftyp") && !is_picture || at(4, b"moov") || at(4, b"mdat") || at(4, b"wide") {
            Some(Container::Mov)
        } else if at(0, &[0x1A, 0x45, 0xDF, 0xA3]) {
            Some(Container::Matroska)
        } else if at(0, b"RIFF") && at(8, b"AVI ") {
            Some(Container::Avi)
        } else if at(0, b"G") && at(188, b"G") && at(376, b"G") {
            Some(Container::MpegTs)
        } else {
            None
        }
    }

    /// How many first bytes tell.
    pub const HEAD_BYTES: u64 = 377;
}

/// The codec whose mark stands in a piece of a file: a hint for people whose browser does not play it, and no more.
pub fn codec_hint(piece: &[u8]) -> Option<&'static str> {
    const MARKS: [(&[u8], &str); 14] = [
        (b"hvc1", "HEVC (H.265)"),
        (b"hev1", "HEVC (H.265)"),
        (b"V_MPEGH/ISO/HEVC", "HEVC (H.265)"),
        (b"dvh1", "Dolby Vision"),
        (b"apch", "ProRes"),
        (b"apcn", "ProRes"),
        (b"av01", "AV1"),
        (b"V_AV1", "AV1"),
        (b"mp4v", "MPEG-4 Part 2"),
        (b"XVID", "MPEG-4 Part 2"),
        (b"V_MPEG4/ISO/AVC", "H.264"),
        (b"avc1", "H.264"),
        (b"vp09", "VP9"),
        (b"MJPG", "Motion JPEG"),
    ];
    let has = |mark: &[u8]| piece.windows(mark.len()).any(|window| window == mark);
    MARKS.iter().find(|(mark, _)| has(mark)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_told_by_its_bytes() {
        let padded = |start: &[u8]| [start, &[0; 400]].concat();
        let mut stream = vec![0; 400];
        for at in [0, 188, 376] {
            stream[at] = b'G';
        }
        let cases = [
            (padded(b"\0\0\0\x20ftypisom"), Some(Container::Mov)),
            (padded(b"\0\0\0\x20ftypheic"), None),
            (padded(&[0x1A, 0x45, 0xDF, 0xA3]), Some(Container::Matroska)),
            (padded(b"RIFF\0\0\0\0AVI LIST"), Some(Container::Avi)),
            (padded(b"RIFF\0\0\0\0WEBP"), None),
            (stream, Some(Container::MpegTs)),
            (padded(b"#EXTM3U\nhttp://host/a.ts"), None),
            (padded(b"ffconcat version 1.0\nfile /etc/passwd"), None),
            (b"G".to_vec(), None),
            (vec![], None),
        ];
        for (head, want) in cases {
            assert_eq!(Container::sniff(&head), want, "{:?}", &head[..head.len().min(16)]);
        }
    }

    #[test]
    fn v02_a_codec_is_named_by_its_mark() {
        let piece = [&[0; 50][..], b"....stsd....hvc1....", &[0; 9]].concat();
        assert_eq!(codec_hint(&piece), Some("HEVC (H.265)"));
        assert_eq!(codec_hint(b"hvc"), None);
        assert_eq!(codec_hint(b""), None);
    }
}
