//! Parameters of a kernel, as WGSL lays out a `struct` of 32-bit members.

use crate::runtime::cpu::int8::Parameters;

/// 32-bit words one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(pub Vec<u32>);

impl Words {
    /// Appends unsigned integers.
    ///
    /// # Panics
    /// If one has more than 32 bits: the program has checked sizes before.
    pub fn uints(mut self, values: impl IntoIterator<Item = usize>) -> Self {
        let word = |value| u32::try_from(value).unwrap_or_else(|_| panic!("{value} has more than 32 bits"));
        self.0.extend(values.into_iter().map(word));
        self
    }

    /// Appends signed integers.
    pub fn ints(mut self, values: impl IntoIterator<Item = i32>) -> Self {
        self.0.extend(values.into_iter().map(|value| value as u32));
        self
    }

    /// Appends floats.
    pub fn floats(mut self, values: impl IntoIterator<Item = f32>) -> Self {
        self.0.extend(values.into_iter().map(f32::to_bits));
        self
    }

    /// Appends how a sum becomes a byte, `Rounding` of `bytes.wgsl`, at the next multiple of 16 bytes.
    pub fn rounding(mut self, parameters: &Parameters) -> Self {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.floats(parameters.limits()).ints([parameters.zero_point]).floats([f32::MAX])
    }
}
