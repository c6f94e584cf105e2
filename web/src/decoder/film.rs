//! What the index of a file says of its video.

use super::Unfit;
use super::samples::{Sample, samples};
use re_mp4::{MoovBox, ReadBox, StsdBoxContent, TrakBox};
use std::io::Cursor;

/// One, as the matrices of ISO/IEC 14496-12 write it.
const ONE: i32 = 1 << 16;
const MICROSECONDS: i128 = 1_000_000;

/// A quarter turn to the right, so many times, makes the picture upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is upright.
    None,
    /// 90 degrees.
    Right,
    /// 180 degrees.
    Half,
    /// 270 degrees.
    Left,
}

/// A video that can be decoded frame by frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Film {
    /// Name of the codec as WebCodecs has it.
    pub codec: String,
    /// What the decoder must know before the first frame, for codecs that need it.
    pub description: Option<Vec<u8>>,
    /// Width and height as they are stored, in pixels.
    pub coded: [u16; 2],
    /// What makes it upright.
    pub turn: Turn,
    /// Length in seconds.
    pub duration_s: f64,
    /// Its frames in the order in which they are decoded; the times are microseconds.
    pub samples: Vec<Sample>,
}

impl Film {
    /// The video of `moov`, which [`super::boxes::index`] has cut down.
    ///
    /// # Errors
    /// If it is unusual in any way.
    pub fn read(moov: &[u8]) -> Result<Self, Unfit> {
        let mut reader = Cursor::new(moov);
        // Whoever reads a box has read its header.
        reader.set_position(8);
        let moov = MoovBox::read_box(&mut reader, moov.len() as u64)
            .map_err(|error| Unfit::Index(error.to_string()))?;
        let [track] = &moov.traks[..] else { return Err(Unfit::Odd("it has no video, or more than one")) };
        let [length, scale] = [moov.mvhd.duration, u64::from(moov.mvhd.timescale)];
        if length == 0 || scale == 0 {
            return Err(Unfit::Odd("it does not tell its length"));
        }
        let duration_s = length as f64 / scale as f64;
        let entry = &track.mdia.minf.stbl.stsd.contents;
        let (coded, description) = entry_of(entry)?;
        let codec = entry.codec_string().ok_or(Unfit::Odd("its codec is not known"))?;
        let told = [track.tkhd.width.value(), track.tkhd.height.value()];
        if told != coded {
            return Err(Unfit::Odd("its pixels are not square"));
        }
        let mut samples = samples(&track.mdia.minf.stbl)?;
        shift(&mut samples, track, scale)?;
        Ok(Film { codec, description, coded, turn: turn(track)?, duration_s, samples })
    }

    /// Where decoding may go on, if it has come to `samples[next]`, for the sake of `samples[at]`: the last key frame on the
    /// way that is also shown no later.
    pub fn shortcut(&self, next: usize, at: usize) -> Option<usize> {
        let Sample { time, .. } = *self.samples.get(at)?;
        (next..=at).rev().find(|key| self.samples[*key].is_key && self.samples[*key].time <= time)
    }
}

/// Size and description of the codec.
fn entry_of(entry: &StsdBoxContent) -> Result<([u16; 2], Option<Vec<u8>>), Unfit> {
    Ok(match entry {
        StsdBoxContent::Avc1(avc) => ([avc.width, avc.height], Some(avc.avcc.raw.clone())),
        StsdBoxContent::Hvc1(hevc) | StsdBoxContent::Hev1(hevc) => {
            ([hevc.width, hevc.height], Some(hevc.hvcc.raw.clone()))
        }
        StsdBoxContent::Vp08(vp8) => ([vp8.width, vp8.height], None),
        StsdBoxContent::Vp09(vp9) => ([vp9.width, vp9.height], None),
        StsdBoxContent::Av01(av1) => ([av1.width, av1.height], Some(av1.av1c.raw.clone())),
        StsdBoxContent::Mp4a(_) | StsdBoxContent::Tx3g(_) | StsdBoxContent::Unknown(_) => {
            return Err(Unfit::Odd("its codec is not known, or it is encrypted"));
        }
    })
}

fn turn(track: &TrakBox) -> Result<Turn, Unfit> {
    let matrix = &track.tkhd.matrix;
    match [matrix.a, matrix.b, matrix.c, matrix.d].map(|value| (value / ONE, value % ONE)) {
        [(1, 0), (0, 0), (0, 0), (1, 0)] => Ok(Turn::None),
        [(0, 0), (1, 0), (-1, 0), (0, 0)] => Ok(Turn::Right),
        [(-1, 0), (0, 0), (0, 0), (-1, 0)] => Ok(Turn::Half),
        [(0, 0), (-1, 0), (1, 0), (0, 0)] => Ok(Turn::Left),
        _ => Err(Unfit::Odd("it is mirrored or stretched")),
    }
}

/// Turns times in ticks of the track into microseconds from the start of what is shown. Players differ in what they make of
/// edits; all agree where there is one that shows everything, from the first frame on.
fn shift(samples: &mut [Sample], track: &TrakBox, movie_scale: u64) -> Result<(), Unfit> {
    const CUT: Unfit = Unfit::Odd("it is edited");
    let scale = i128::from(track.mdia.mdhd.timescale);
    if scale == 0 {
        return Err(Unfit::Odd("it has no time"));
    }
    let edits = track.edts.iter().flat_map(|edits| &edits.elst).flat_map(|list| &list.entries);
    let edits: Vec<_> = edits.collect();
    let (start, shown) = match edits[..] {
        [] => (0, None),
        [edit] if edit.media_rate == 1 && edit.media_rate_fraction == 0 => {
            (i128::from(edit.media_time), Some(i128::from(edit.segment_duration)))
        }
        _ => return Err(CUT),
    };
    let times = samples.iter().map(|sample| i128::from(sample.time) - start);
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else { return Err(CUT) };
    if first != 0 || shown.is_some_and(|shown| shown * scale <= last * i128::from(movie_scale)) {
        return Err(CUT);
    }
    for sample in samples {
        let ticks = i128::from(sample.time) - start;
        sample.time = i64::try_from((ticks * MICROSECONDS + scale / 2) / scale).map_err(|_| CUT)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::boxes::index;
    use super::super::boxes::tests::{Memory, fixture};
    use super::*;

    fn film(bytes: &[u8]) -> Result<Film, Unfit> {
        Film::read(&index(&mut Memory(bytes))?)
    }

    /// Against `ffprobe -select_streams v -show_entries packet=pts_time,pos,size,flags -of csv frames.mp4`.
    #[test]
    fn a_film_is_what_ffprobe_says() {
        let film = film(&fixture("frames.mp4")).unwrap();
        assert_eq!((film.coded, film.turn, film.duration_s), ([320, 240], Turn::None, 4.0));
        assert!(film.codec.starts_with("avc1.64"), "{}", film.codec);
        assert_eq!(film.description.as_ref().unwrap()[..2], [1, 100]);
        assert_eq!(film.samples.len(), 96);
        let first: Vec<_> = film.samples[..4].iter().map(|s| (s.time, s.offset, s.size, s.is_key)).collect();
        assert_eq!(
            first,
            [
                (0, 48, 2238, true),
                (166_667, 2286, 209, false),
                (83_333, 2495, 55, false),
                (41_667, 2550, 59, false)
            ]
        );
        assert_eq!([film.shortcut(0, 3), film.shortcut(1, 3), film.shortcut(0, 96)], [Some(0), None, None]);
        let last = (0..96).filter(|at| film.samples[*at].is_key).max().unwrap();
        assert_eq!(film.shortcut(1, 95), Some(last));
    }

    #[test]
    fn a_turned_film_is_told_to_be() {
        let film = film(&fixture("turned.mp4")).unwrap();
        assert_eq!((film.coded, film.turn), ([240, 320], Turn::Right));
    }

    /// Every byte of the index changed, one at a time. The library panics at some lengths within `avcC`, which ends the worker,
    /// and the page plays the file; anywhere else there is an answer.
    #[test]
    fn hostile_bytes_do_no_harm() {
        let whole = fixture("turned.mp4");
        let start = whole.windows(4).position(|bytes| bytes == b"moov").unwrap() - 4;
        let codec = whole.windows(4).position(|bytes| bytes == b"avcC").unwrap();
        let description = codec - 4..codec + 64;
        for at in start..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut spoiled = whole.clone();
                spoiled[at] = value;
                let answer = std::panic::catch_unwind(|| film(&spoiled).map(|film| film.samples.len()));
                assert!(answer.is_ok() || description.contains(&at), "{at} {value}");
            }
        }
    }

    #[test]
    fn what_is_edited_is_refused() {
        let whole = fixture("frames.mp4");
        let edit = whole.windows(4).position(|bytes| bytes == b"elst").unwrap() + 4;
        // Behind version, flags and count: length, start and rate.
        for (at, value) in [(edit + 10, 1), (edit + 14, 9), (edit + 17, 2), (edit + 7, 2)] {
            let mut spoiled = whole.clone();
            spoiled[at] = value;
            assert!(film(&spoiled).is_err(), "{}", at - edit);
        }
        let mut gone = whole.clone();
        let list = whole.windows(4).position(|bytes| bytes == b"edts").unwrap();
        gone[list..list + 4].copy_from_slice(b"free");
        assert_eq!(film(&gone), Err(Unfit::Odd("it is edited")));
    }
}
