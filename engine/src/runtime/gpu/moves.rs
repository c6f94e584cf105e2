//! Steps that move or resample elements -> launches.

use super::error::GpuError;
use super::layers::{Call, launch};
use super::program::{Builder, Launch, Memory, refused};
use super::shader::Shader;
use super::words::Words;
use crate::runtime::constant::Kind;
use crate::runtime::cpu::copy::Strided;
use crate::runtime::cpu::resize::Resampling;
use crate::runtime::plan::Step;

/// Bytes of a word.
const WORD: usize = 4;

/// Extent and stride of each axis, the innermost first.
fn axes(walk: &Strided) -> Words {
    let axes = walk.extents.iter().zip(&walk.strides).rev();
    axes.fold(Words::default(), |words, (&extent, &stride)| words.uints([extent, stride]))
}

/// Floats on a walk.
pub fn gather(step: &Step, walk: &Strided) -> Call {
    let threads = step.output.elements;
    (Shader::Gather, Words::default().uints([threads, walk.extents.len(), walk.offset]), axes(walk), threads)
}

/// Bytes on a walk.
pub fn gather_bytes(step: &Step, walk: &Strided) -> Call {
    let (bytes, threads) = (step.output.elements, step.output.elements.div_ceil(WORD));
    let params = Words::default().uints([threads, walk.extents.len(), walk.offset, bytes]);
    (Shader::GatherInt8, params, axes(walk), threads)
}

/// Every input onto its walk.
pub fn concat(
    builder: &Builder,
    step: &Step,
    walks: &[Strided],
    inputs: &[Memory],
) -> Result<Vec<Launch>, GpuError> {
    let onto = |(walk, &input): (&Strided, &Memory)| scatter(builder, step, walk, input);
    walks.iter().zip(inputs).map(onto).collect()
}

/// The input in the middle of a value.
pub fn pad(
    builder: &Builder,
    step: &Step,
    walk: &Strided,
    value: f32,
    inputs: &[Memory],
) -> Result<Vec<Launch>, GpuError> {
    let elements = step.output.elements;
    let params = Words::default().uints([elements]).floats([value]);
    let fill = launch(builder, step, inputs, (Shader::Fill, params, Words::default(), elements))?;
    Ok(vec![fill, scatter(builder, step, walk, inputs[0])?])
}

fn scatter(builder: &Builder, step: &Step, walk: &Strided, input: Memory) -> Result<Launch, GpuError> {
    let walk = match step.output.kind {
        Kind::F32 => walk.clone(),
        _ => words_of(walk).ok_or_else(|| refused(&step.name, "its pieces are no whole words"))?,
    };
    let threads = walk.extents.iter().product();
    let params = Words::default().uints([threads, walk.extents.len(), walk.offset]);
    launch(builder, step, &[input], (Shader::Scatter, params, axes(&walk), threads))
}

/// The walk over words instead of bytes, if it moves whole ones.
fn words_of(walk: &Strided) -> Option<Strided> {
    let mut words = walk.clone();
    let (extent, stride) = (words.extents.last_mut()?, words.strides.last_mut()?);
    if *stride != 1 {
        return None;
    }
    // The stride of the innermost axis stays one.
    let outer = words.strides.len() - 1;
    let whole = |value: &mut usize| {
        let is_whole = value.is_multiple_of(WORD);
        *value /= WORD;
        is_whole
    };
    let is_whole = whole(extent) && whole(&mut words.offset);
    (is_whole && words.strides[..outer].iter_mut().all(whole)).then_some(words)
}

/// A map of floats of another size.
pub fn resize(step: &Step, resampling: &Resampling) -> Call {
    let ([input, output], channels) = (resampling.sizes(), resampling.channels());
    let threads = step.output.elements;
    let params = Words::default().uints(input).uints(output).uints([channels, threads]);
    let tap = |words: Words, (first, second, share): (usize, usize, f32)| {
        words.uints([first, second]).floats([share])
    };
    (Shader::Resize, params, resampling.taps().fold(Words::default(), tap), threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_are_moved_as_words() {
        let walk = Strided { extents: vec![3, 8], strides: vec![24, 1], offset: 16 };
        let words = Strided { extents: vec![3, 2], strides: vec![6, 1], offset: 4 };
        assert_eq!(words_of(&walk), Some(words));
        for (extents, strides, offset) in
            [([3, 7], [24, 1], 16), ([3, 8], [22, 1], 16), ([3, 8], [24, 1], 2), ([3, 8], [24, 4], 0)]
        {
            let walk = Strided { extents: extents.to_vec(), strides: strides.to_vec(), offset };
            assert_eq!(words_of(&walk), None, "{walk:?}");
        }
    }
}
