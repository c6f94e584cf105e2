//! Many small arrays in one buffer.

use std::num::NonZeroU64;
use std::ops::Range;
use wgpu30::{BindingResource, Buffer, BufferBinding};

/// Words between two slots: every device can begin a binding at a multiple of 256 bytes.
const ALIGNMENT: usize = 64;

/// Arrays of words one behind the other, each where a binding may begin.
pub struct Slots {
    /// All of them, filled up with zeros.
    pub words: Vec<u32>,
    places: Vec<Range<usize>>,
}

impl Slots {
    /// As many slots as `parts`.
    pub fn new<'a>(parts: impl Iterator<Item = &'a [u32]>) -> Self {
        let mut slots = Slots { words: Vec::new(), places: Vec::new() };
        for part in parts {
            let first = slots.words.len();
            slots.words.extend(part);
            // A binding may not be empty, and whole vectors are read.
            let end = first + part.len().max(1).next_multiple_of(4);
            slots.words.resize(end.next_multiple_of(ALIGNMENT), 0);
            slots.places.push(first..end);
        }
        slots
    }

    /// Slot `index` of what [`Slots::words`] became.
    pub fn binding<'a>(&self, buffer: &'a Buffer, index: usize) -> BindingResource<'a> {
        let place = &self.places[index];
        let size = NonZeroU64::new(4 * place.len() as u64);
        BindingResource::Buffer(BufferBinding { buffer, offset: 4 * place.start as u64, size })
    }

    /// Bytes of each slot.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.places.iter().map(|place| 4 * place.len())
    }
}
