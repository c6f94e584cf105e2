//! The first picture of a GIF -> RGB pixels.
//!
//! An animation draws its pictures one over the other on a screen that is transparent at first; the first of them, which may
//! cover a part of the screen alone, is what a viewer sees at once. The format is CompuServe's GIF89a. It is read here since
//! a library costs 11 kB of what the page downloads, gzipped, and this file 3; tests read what that library writes.

use super::{BACKGROUND, check_size};
use crate::error::Error;

/// Codes of the compression have at most so many bits.
const MAX_CODE_BITS: u32 = 12;
/// First row and distance of rows in each pass of an interlaced picture.
const PASSES: [(usize, usize); 4] = [(0, 8), (4, 8), (2, 4), (1, 2)];

/// What a viewer shows first.
pub(super) struct FirstPicture {
    /// Width and height of the screen, in pixels.
    pub size: [u32; 2],
    /// Packed RGB bytes, what is transparent over white.
    pub rgb: Vec<u8>,
    /// Whether another picture follows.
    pub is_first_of_many: bool,
}

/// Width and height of the screen that the header claims, in pixels.
pub(super) fn claimed_size(bytes: &[u8]) -> Option<[u64; 2]> {
    let &[left, right, top, bottom] = bytes.get(6..10)? else { return None };
    Some([[left, right], [top, bottom]].map(|pair| u16::from_le_bytes(pair).into()))
}

/// The first picture in `bytes`.
///
/// # Errors
/// [`Error::TooLarge`] before anything of that size is allocated, or [`Error::Corrupt`].
pub(super) fn decode(bytes: &[u8]) -> Result<FirstPicture, Error> {
    let mut reader = Reader(bytes);
    // After the six bytes that told the format: the screen, then background and shape of pixels, which nobody heeds.
    reader.take(6)?;
    let size @ [width, height] = [reader.number()?, reader.number()?];
    check_size(width.into(), height.into())?;
    let flags = reader.byte()?;
    reader.take(2)?;
    let colours = reader.colours(flags)?;
    let Some(part) = reader.next_part()? else { return Err(corrupt("it holds no picture")) };
    check_size(part.size[0].into(), part.size[1].into())?;
    if size.contains(&0) || part.size.contains(&0) {
        return Err(corrupt("it holds no picture"));
    }
    let colours = reader.colours(part.flags)?.or(colours).ok_or_else(|| corrupt("it has no colours"))?;
    let bits = reader.byte()?;
    let indices = unpack(&reader.sub_blocks()?.concat(), bits.into(), part.pixels())?;
    let mut rgb = vec![BACKGROUND as u8; width as usize * height as usize * 3];
    for (row, y) in indices.chunks_exact(part.size[0] as usize).zip(part.rows()) {
        for (&index, x) in row.iter().zip(part.left..) {
            let colour = colours.as_chunks::<3>().0.get(usize::from(index));
            // What lies beyond the screen is not shown, and an index without a colour shows nothing.
            let is_shown = part.transparent != Some(index) && x < width && y < height;
            if let Some(colour) = colour.filter(|_| is_shown) {
                rgb[(y * width + x) as usize * 3..][..3].copy_from_slice(colour);
            }
        }
    }
    Ok(FirstPicture { size, rgb, is_first_of_many: reader.next_part()?.is_some() })
}

fn corrupt(detail: &str) -> Error {
    Error::Corrupt { format: "GIF", detail: detail.into() }
}

/// A picture's place on the screen.
struct Part {
    left: u32,
    top: u32,
    /// Width and height, in pixels.
    size: [u32; 2],
    flags: u8,
    /// The index that shows what is beneath.
    transparent: Option<u8>,
}

impl Part {
    fn pixels(&self) -> usize {
        self.size[0] as usize * self.size[1] as usize
    }

    /// Rows of the screen in the order in which they are stored.
    fn rows(&self) -> impl Iterator<Item = u32> {
        let (height, is_interlaced) = (self.size[1] as usize, self.flags & 0x40 != 0);
        let passes = if is_interlaced { &PASSES[..] } else { &[(0, 1)] };
        let top = self.top;
        passes
            .iter()
            .flat_map(move |&(first, step)| (first..height).step_by(step))
            .map(move |y| top + y as u32)
    }
}

/// The part of the file that is not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or_else(|| corrupt("it ends before its picture does"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u32, Error> {
        let bytes = self.take(2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]).into())
    }

    /// A table of colours, three bytes each, if `flags` announce one.
    fn colours(&mut self, flags: u8) -> Result<Option<&'a [u8]>, Error> {
        (flags & 0x80 != 0).then(|| self.take(3 << ((flags & 7) + 1))).transpose()
    }

    /// Blocks of up to 255 bytes until an empty one.
    fn sub_blocks(&mut self) -> Result<Vec<&'a [u8]>, Error> {
        let mut blocks = Vec::new();
        loop {
            let length = self.byte()?;
            match length {
                0 => return Ok(blocks),
                length => blocks.push(self.take(length.into())?),
            }
        }
    }

    /// The next picture's place, whose colours and pixels then are the next to read; nothing at the end.
    fn next_part(&mut self) -> Result<Option<Part>, Error> {
        let mut transparent = None;
        loop {
            match self.byte()? {
                b';' => return Ok(None),
                b'!' => {
                    let is_control = self.byte()? == 0xF9;
                    let blocks = self.sub_blocks()?;
                    if let (true, Some([flags, _, _, index, ..])) = (is_control, blocks.first()) {
                        transparent = (flags & 1 != 0).then_some(*index);
                    }
                }
                b',' => {
                    let [left, top, width, height] =
                        [self.number()?, self.number()?, self.number()?, self.number()?];
                    let (size, flags) = ([width, height], self.byte()?);
                    return Ok(Some(Part { left, top, size, flags, transparent }));
                }
                _ => return Err(corrupt("what stands between its pictures is unknown")),
            }
        }
    }
}

/// The first `wanted` values that `packed` stands for, in LZW whose first codes have `bits` bits and two more meanings: begin
/// anew, and the end.
fn unpack(packed: &[u8], bits: u32, wanted: usize) -> Result<Vec<u8>, Error> {
    if !(1..=8).contains(&bits) {
        return Err(corrupt("its codes have a length that no GIF has"));
    }
    let (clear, end) = (1_usize << bits, (1_usize << bits) + 1);
    // Each code is an earlier piece of the output, that of another code and one value more: where it begins, and its length.
    let mut pieces: Vec<(usize, usize)> = Vec::with_capacity(1 << MAX_CODE_BITS);
    let mut out: Vec<u8> = Vec::with_capacity(wanted);
    let (mut width, mut previous) = (bits + 1, None);
    let (mut waiting, mut held) = (0_u32, 0);
    let mut bytes = packed.iter();
    while out.len() < wanted {
        while held < width {
            let byte = bytes.next().ok_or_else(|| corrupt("it ends before its picture does"))?;
            waiting |= u32::from(*byte) << held;
            held += 8;
        }
        let code = (waiting & ((1 << width) - 1)) as usize;
        (waiting, held) = (waiting >> width, held - width);
        if code == clear {
            pieces.clear();
            (width, previous) = (bits + 1, None);
            continue;
        }
        // The piece that was written last grows by the value that is written next, and gets the next code.
        if let Some((begin, length)) = previous.filter(|_| end + 1 + pieces.len() < 1 << MAX_CODE_BITS) {
            pieces.push((begin, length + 1));
        }
        let begin = out.len();
        if code < clear {
            out.push(code as u8);
        } else {
            let piece = code.checked_sub(end + 1).and_then(|index| pieces.get(index));
            let &(from, length) = piece.ok_or_else(|| corrupt("a code in it stands for nothing"))?;
            // One by one: a piece may end in what it is about to write.
            for at in from..from + length.min(wanted - begin) {
                out.push(out[at]);
            }
        }
        previous = Some((begin, out.len() - begin));
        if end + 1 + pieces.len() >= 1 << width && width < MAX_CODE_BITS {
            width += 1;
        }
    }
    Ok(out)
}
