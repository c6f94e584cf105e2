//! Where each frame of a track lies in the file, and when it is shown.
//!
//! The tables of ISO/IEC 14496-12, 8.6 and 8.7: sizes, runs of chunks, times between frames, shifts of frames that are shown in
//! another order than they are decoded in, key frames.

use super::Unfit;
use re_mp4::StblBox;

/// Most frames; four hours and a half at 60 a second.
const MAX_SAMPLES: u32 = 1_000_000;
/// Largest frame, in bytes.
const MAX_BYTES: u32 = 64 << 20;

/// A frame as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Its first byte in the file.
    pub offset: u64,
    /// Bytes.
    pub size: u32,
    /// When it is shown, in ticks of the track.
    pub time: i64,
    /// Whether it needs no other.
    pub is_key: bool,
}

/// The frames of a track in the order in which they are decoded.
///
/// # Errors
/// If the tables disagree, or there are too many frames or none.
pub fn samples(tables: &StblBox) -> Result<Vec<Sample>, Unfit> {
    const SHORT: Unfit = Unfit::Odd("its tables have different lengths");
    let sizes = &tables.stsz;
    let count = sizes.sample_count;
    if count == 0 || count > MAX_SAMPLES {
        return Err(Unfit::Odd("it has no frames, or too many"));
    }
    let mut offsets = offsets(tables)?.into_iter();
    let mut steps = tables.stts.entries.iter().flat_map(|run| repeat(run.sample_delta, run.sample_count));
    let mut shifts = tables
        .ctts
        .iter()
        .flat_map(|shifts| shifts.entries.iter())
        .flat_map(|run| repeat(run.sample_offset, run.sample_count));
    let mut samples = Vec::with_capacity(count as usize);
    let mut decoded = 0i64;
    let mut chunk = Chunk { left: 0, offset: 0 };
    for at in 0..count as usize {
        while chunk.left == 0 {
            chunk = offsets.next().ok_or(SHORT)?;
        }
        let size = if sizes.sample_size == 0 {
            *sizes.sample_sizes.get(at).ok_or(SHORT)?
        } else {
            sizes.sample_size
        };
        if size == 0 || size > MAX_BYTES {
            return Err(Unfit::Odd("it has frames of no size, or too large ones"));
        }
        let shift = if tables.ctts.is_some() { shifts.next().ok_or(SHORT)? } else { 0 };
        // Below 2^32 frames of 2^32 ticks.
        let time = decoded + i64::from(shift);
        samples.push(Sample { offset: chunk.offset, size, time, is_key: tables.stss.is_none() });
        decoded += i64::from(steps.next().ok_or(SHORT)?);
        chunk.left -= 1;
        chunk.offset = chunk.offset.checked_add(u64::from(size)).ok_or(SHORT)?;
    }
    for number in tables.stss.iter().flat_map(|keys| &keys.entries) {
        let at = number.checked_sub(1).ok_or(SHORT)?;
        samples.get_mut(at as usize).ok_or(SHORT)?.is_key = true;
    }
    if !samples[0].is_key {
        return Err(Unfit::Odd("it does not begin with a key frame"));
    }
    Ok(samples)
}

/// Frames that lie one behind the other.
struct Chunk {
    left: u32,
    offset: u64,
}

/// The chunks of the track in their order.
fn offsets(tables: &StblBox) -> Result<Vec<Chunk>, Unfit> {
    let starts: Vec<u64> = match (&tables.stco, &tables.co64) {
        (Some(short), None) => short.entries.iter().copied().map(u64::from).collect(),
        (None, Some(long)) => long.entries.clone(),
        _ => return Err(Unfit::Odd("it does not say where its frames are")),
    };
    let runs = &tables.stsc.entries;
    if runs.first().is_none_or(|run| run.first_chunk != 1)
        || !runs.is_sorted_by_key(|run| run.first_chunk)
        || runs.iter().any(|run| run.sample_description_index != 1)
    {
        return Err(Unfit::Odd("its chunks are in no order, or it changes its codec"));
    }
    let mut run = 0;
    let chunks = (1..).zip(starts).map(|(number, offset)| {
        while runs.get(run + 1).is_some_and(|next| next.first_chunk <= number) {
            run += 1;
        }
        Chunk { left: runs[run].samples_per_chunk, offset }
    });
    Ok(chunks.collect())
}

fn repeat<T: Copy>(value: T, count: u32) -> impl Iterator<Item = T> {
    std::iter::repeat_n(value, count as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use re_mp4::{Co64Box, CttsBox, ReadBox, StcoBox, StscBox, StssBox, StszBox, SttsBox};
    use std::io::Cursor;

    /// The box whose body is `words`.
    fn a_box<T: for<'a> ReadBox<&'a mut Cursor<Vec<u8>>>>(words: &[u32]) -> T {
        let body = words.iter().flat_map(|word| word.to_be_bytes());
        let bytes: Vec<u8> = [0; 8].into_iter().chain(body).collect();
        let size = bytes.len() as u64;
        let mut reader = Cursor::new(bytes);
        reader.set_position(8);
        T::read_box(&mut reader, size).unwrap()
    }

    /// Five frames in three chunks.
    fn tables() -> StblBox {
        StblBox {
            stts: a_box::<SttsBox>(&[0, 2, 4, 10, 1, 7]),
            ctts: Some(a_box::<CttsBox>(&[1 << 24, 2, 1, 10, 4, (-5i32).cast_unsigned()])),
            stss: Some(StssBox { entries: vec![1, 4], ..Default::default() }),
            stsc: a_box::<StscBox>(&[0, 2, 1, 2, 1, 3, 1, 1]),
            stsz: StszBox { sample_count: 5, sample_sizes: vec![9, 8, 7, 6, 5], ..Default::default() },
            stco: Some(StcoBox { entries: vec![100, 200, 300], ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn tables_become_frames() {
        let all = samples(&tables()).unwrap();
        let of = |field: fn(&Sample) -> i64| all.iter().map(field).collect::<Vec<_>>();
        assert_eq!(of(|sample| sample.offset as i64), [100, 109, 200, 207, 300]);
        assert_eq!(of(|sample| i64::from(sample.size)), [9, 8, 7, 6, 5]);
        assert_eq!(of(|sample| sample.time), [10, 5, 15, 25, 35]);
        assert_eq!(of(|sample| i64::from(sample.is_key)), [1, 0, 0, 1, 0]);
        let even =
            StblBox { stsz: StszBox { sample_size: 3, sample_count: 5, ..Default::default() }, ..tables() };
        assert_eq!(samples(&even).unwrap()[1].offset, 103);
        let long = Co64Box { entries: vec![1 << 40, 2 << 40, 3 << 40], ..Default::default() };
        let far = StblBox { stco: None, co64: Some(long), ..tables() };
        assert_eq!(samples(&far).unwrap()[4].offset, 3 << 40);
    }

    #[test]
    fn tables_that_disagree_are_refused() {
        type Spoil = fn(&mut StblBox);
        let spoils: [Spoil; 14] = [
            |tables| tables.stsz.sample_sizes[2] = 0,
            |tables| tables.stsz.sample_sizes[2] = u32::MAX,
            |tables| tables.stsz.sample_count = 0,
            |tables| tables.stsz.sample_count = 6,
            |tables| tables.stsz = StszBox { sample_size: 1, sample_count: u32::MAX, ..Default::default() },
            |tables| tables.stts.entries[0].sample_count = 3,
            |tables| tables.ctts.as_mut().unwrap().entries[1].sample_count = 3,
            |tables| tables.stss.as_mut().unwrap().entries[1] = 6,
            |tables| tables.stss.as_mut().unwrap().entries[0] = 0,
            |tables| tables.stss.as_mut().unwrap().entries[0] = 2,
            |tables| tables.stsc.entries[0].first_chunk = 2,
            |tables| tables.stsc.entries[1].sample_description_index = 2,
            |tables| tables.stco = None,
            |tables| tables.stco.as_mut().unwrap().entries.truncate(2),
        ];
        for (number, spoil) in spoils.into_iter().enumerate() {
            let mut spoiled = tables();
            spoil(&mut spoiled);
            assert!(samples(&spoiled).is_err(), "{number}");
        }
        let mut far = tables();
        far.stco = None;
        far.co64 = Some(Co64Box { entries: vec![u64::MAX - 3; 3], ..Default::default() });
        assert!(samples(&far).is_err());
    }
}
