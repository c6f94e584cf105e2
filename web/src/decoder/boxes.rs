//! The index of an MP4 or QuickTime file (ISO/IEC 14496-12): found by its header, and cut down before anything reads it.
//!
//! The library behind trusts the sizes of boxes; here they are checked, and boxes that nobody needs are left out.

use super::Unfit;

/// Largest index, in bytes; an hour has about two million.
const MAX_INDEX_BYTES: u64 = 64 << 20;
/// Most boxes beside the index.
const MAX_BOXES: usize = 10_000;
/// Deepest nesting of what is kept: moov, trak, mdia, minf, stbl, stsd, avc1, avcC.
const MAX_DEPTH: usize = 8;
const HEADER: usize = 8;
/// A reference to this file and no other; whatever the file says.
const DINF: [u8; 24] =
    [0, 0, 0, 24, b'd', b'i', b'n', b'f', 0, 0, 0, 16, b'd', b'r', b'e', b'f', 0, 0, 0, 0, 0, 0, 0, 0];

/// What of a file from here on is read, to be found in pieces.
pub trait Source {
    /// Bytes of the file.
    fn size(&self) -> u64;

    /// The `length` bytes at `offset`, or those that there are.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn read(&mut self, offset: u64, length: u64) -> Result<Vec<u8>, Unfit>;
}

/// The box `moov` of `file`, with the tracks of pictures alone and no more of them than [`super::film`] needs.
///
/// # Errors
/// If there is none, if it is fragmented, too large or not sound.
pub fn index(file: &mut impl Source) -> Result<Vec<u8>, Unfit> {
    let mut offset = 0;
    for _ in 0..MAX_BOXES {
        let head = file.read(offset, 16)?;
        let Some((name, header, size)) = header(&head, file.size().saturating_sub(offset)) else { break };
        if &name == b"moof" {
            return Err(Unfit::Odd("it is fragmented"));
        }
        if &name == b"moov" {
            let length = size - header as u64;
            if length > MAX_INDEX_BYTES {
                return Err(Unfit::Odd("its index is too large"));
            }
            let body = file.read(offset + header as u64, length)?;
            if body.len() as u64 != length {
                return Err(Unfit::Odd("its index is cut off"));
            }
            let mut kept = Kept { bytes: Vec::new(), has_pictures: false };
            kept.take(*b"moov", &body, 0)?;
            return Ok(kept.bytes);
        }
        let Some(next) = offset.checked_add(size) else { break };
        offset = next;
    }
    Err(Unfit::Odd("it has no index"))
}

/// Name, bytes of the header and of the whole of the box that `bytes` begin with, of which `rest` are there.
fn header(bytes: &[u8], rest: u64) -> Option<([u8; 4], usize, u64)> {
    let short = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    let name = bytes.get(4..8)?.try_into().ok()?;
    let (header, size) = match short {
        0 => (HEADER, rest),
        1 => (16, u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?)),
        size => (HEADER, u64::from(size)),
    };
    (size >= header as u64).then_some((name, header, size))
}

struct Kept {
    bytes: Vec<u8>,
    /// Whether the track that was read last is one of pictures.
    has_pictures: bool,
}

impl Kept {
    /// Appends the box `name` with `body`, if it is needed.
    fn take(&mut self, name: [u8; 4], body: &[u8], depth: usize) -> Result<(), Unfit> {
        if depth >= MAX_DEPTH {
            return Err(Unfit::Odd("its boxes are nested too deep"));
        }
        // Bytes before the boxes within.
        let fields = match &name {
            b"moov" | b"trak" | b"edts" | b"mdia" | b"minf" | b"stbl" => 0,
            b"stsd" => 8,
            b"avc1" | b"hvc1" | b"hev1" | b"vp08" | b"vp09" | b"av01" => 78,
            b"mvex" => return Err(Unfit::Odd("it is fragmented")),
            b"dinf" => {
                self.bytes.extend(DINF);
                return Ok(());
            }
            b"mvhd" | b"tkhd" | b"elst" | b"mdhd" | b"hdlr" | b"vmhd" | b"stts" | b"ctts" | b"stss"
            | b"stsc" | b"stsz" | b"stco" | b"co64" | b"avcC" | b"hvcC" | b"vpcC" | b"av1C" => body.len(),
            _ => return Ok(()),
        };
        if &name == b"hdlr" {
            self.has_pictures = body.get(8..12) == Some(b"vide");
        }
        if &name == b"trak" {
            self.has_pictures = false;
        }
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(name);
        self.bytes.extend(body.get(..fields).ok_or(Unfit::Odd("a box is cut off"))?);
        let mut rest = &body[fields..];
        // QuickTime ends some lists with a zero.
        while rest.len() >= HEADER {
            let (inner, header, size) =
                header(rest, rest.len() as u64).ok_or(Unfit::Odd("a box has no size"))?;
            let size = usize::try_from(size).ok().filter(|size| *size <= rest.len());
            let size = size.ok_or(Unfit::Odd("a box is larger than what it is in"))?;
            self.take(inner, &rest[header..size], depth + 1)?;
            rest = &rest[size..];
        }
        let is_empty = self.bytes.len() == start + HEADER;
        if (&name == b"trak" && !self.has_pictures) || (&name == b"edts" && is_empty) {
            self.bytes.truncate(start);
            return Ok(());
        }
        let size =
            u32::try_from(self.bytes.len() - start).map_err(|_| Unfit::Odd("its index is too large"))?;
        self.bytes[start..start + 4].copy_from_slice(&size.to_be_bytes());
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A file in memory.
    pub struct Memory<'a>(pub &'a [u8]);

    impl Source for Memory<'_> {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read(&mut self, offset: u64, length: u64) -> Result<Vec<u8>, Unfit> {
            let start = (offset as usize).min(self.0.len());
            let end = start.saturating_add(length as usize).min(self.0.len());
            Ok(self.0[start..end].to_vec())
        }
    }

    pub fn fixture(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
        std::fs::read(format!("{folder}{name}")).unwrap()
    }

    fn a_box(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], name, body].concat()
    }

    fn index_of(bytes: &[u8]) -> Result<Vec<u8>, Unfit> {
        index(&mut Memory(bytes))
    }

    #[test]
    fn only_what_is_needed_of_tracks_of_pictures_is_kept() {
        let hdlr = |kind: &[u8; 4]| a_box(b"mdia", &a_box(b"hdlr", &[&[0; 8][..], kind].concat()));
        let pictures = a_box(b"trak", &hdlr(b"vide"));
        let sound = a_box(b"trak", &hdlr(b"soun"));
        let moov = a_box(b"moov", &[&a_box(b"udta", b"anything")[..], &sound, &pictures, &[0; 4]].concat());
        let file = [a_box(b"ftyp", b"isom"), a_box(b"mdat", &[7; 100]), moov].concat();
        assert_eq!(index_of(&file), Ok(a_box(b"moov", &pictures)));
    }

    #[test]
    fn hostile_boxes_are_refused() {
        let deep = (0..50).fold(Vec::new(), |inner, _| a_box(b"trak", &inner));
        for (bytes, why) in [
            (vec![], "no index"),
            (vec![0; 7], "no index"),
            (a_box(b"mdat", &[0; 9]), "no index"),
            ([&[0, 0, 0, 3][..], b"free"].concat(), "no index"),
            ([&[0, 0, 0, 1][..], b"free", &[255; 8]].concat(), "no index"),
            ([&[0, 0, 0, 1][..], b"moov", &[127; 8]].concat(), "too large"),
            ([&[0, 0, 1, 0][..], b"moov"].concat(), "cut off"),
            (a_box(b"moov", &[&[0, 0, 1, 0][..], b"trak"].concat()), "larger"),
            (a_box(b"moov", &[&[0, 0, 0, 4][..], b"trak"].concat()), "no size"),
            (a_box(b"moov", &a_box(b"stsd", &[0; 7])), "cut off"),
            (a_box(b"moov", &a_box(b"mvex", &[])), "fragmented"),
            (a_box(b"moof", &[]), "fragmented"),
            (a_box(b"moov", &deep), "too deep"),
        ] {
            let error = index_of(&bytes).unwrap_err().to_string();
            assert!(error.contains(why), "{error}, expected {why}");
        }
    }

    #[test]
    fn a_film_that_is_cut_anywhere_does_no_harm() {
        let film = fixture("frames.mp4");
        for length in (0..film.len()).step_by(97) {
            // The index lies at the end.
            assert!(index_of(&film[..length]).is_err(), "{length}");
        }
        assert!(index_of(&film).is_ok());
    }
}
