//! Convolutions of equal parts of the channels, side by side.

use super::conv::Conv;
use super::copy::Strided;

/// One convolution for each part of the channels.
pub struct GroupedConv {
    groups: Vec<Conv>,
    /// For each group its channels in the input, and its channels in the result.
    columns: Vec<[Strided; 2]>,
    /// Elements of a group's part of the input and of the result.
    elements: [usize; 2],
}

impl GroupedConv {
    /// The convolutions `groups`, of which there is at least one, all of one size, for so many `images`.
    pub fn new(groups: Vec<Conv>, images: usize) -> Self {
        let widths = [groups[0].channels(), groups[0].channels_out()];
        let elements = [groups[0].input_elements(), groups[0].output_elements()].map(|image| image * images);
        let count = groups.len();
        let columns = |group: usize| {
            [0, 1].map(|side| Strided {
                extents: vec![elements[side] / widths[side], widths[side]],
                strides: vec![widths[side] * count, 1],
                offset: group * widths[side],
            })
        };
        let columns = (0..count).map(columns).collect();
        GroupedConv { groups, columns, elements }
    }

    /// The convolution of each group.
    pub fn groups(&self) -> &[Conv] {
        &self.groups
    }

    /// Elements of its packed weights and biases.
    pub fn weight_elements(&self) -> usize {
        self.groups.iter().map(Conv::weight_elements).sum()
    }

    /// Elements that a run needs.
    pub fn scratch_elements(&self) -> usize {
        self.elements[0] + self.elements[1] + self.groups[0].scratch_elements()
    }

    /// `out` `[N, OH, OW, C_out]` of `x` `[N, H, W, C_in]`; `scratch` holds [`GroupedConv::scratch_elements`].
    pub fn run(&self, x: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        let (part, scratch) = scratch.split_at_mut(self.elements[0]);
        let (result, scratch) = scratch.split_at_mut(self.elements[1]);
        for (conv, [inputs, outputs]) in self.groups.iter().zip(&self.columns) {
            inputs.gather(x, part);
            let images = part.chunks_exact(conv.input_elements());
            for (x, out) in images.zip(result.chunks_exact_mut(conv.output_elements())) {
                conv.run(x, None, out, scratch);
            }
            outputs.scatter(result, out);
        }
    }
}
