//! Only steps that are read, and one buffer for many values, one after the other.

use super::{BufferId, Plan, Source};

impl Plan {
    /// Takes out the steps whose results nobody reads: floats of values that went on as bytes.
    pub(super) fn drop_unread(&mut self) {
        let mut is_read = vec![false; self.inputs.len() + self.steps.len()];
        let read = |sources: &mut dyn Iterator<Item = Source>, is_read: &mut [bool]| {
            for source in sources {
                if let Source::Buffer(place) = source {
                    is_read[place.buffer] = true;
                }
            }
        };
        read(&mut self.outputs.iter().map(|output| output.place), &mut is_read);
        for step in self.steps.iter().rev() {
            if is_read[step.output.buffer] {
                read(&mut step.inputs.iter().copied(), &mut is_read);
            }
        }
        let kept: Vec<bool> = self.steps.iter().map(|step| is_read[step.output.buffer]).collect();
        let first = self.inputs.len();
        let mut number = first;
        let mut numbers: Vec<BufferId> = (0..first).collect();
        for kept in &kept {
            numbers.push(number);
            number += usize::from(*kept);
        }
        let mut kept = kept.into_iter();
        self.steps.retain(|_| kept.next().unwrap_or(true));
        for step in &mut self.steps {
            step.output.buffer = numbers[step.output.buffer];
            step.inputs.iter_mut().for_each(|input| rename(input, &numbers));
        }
        self.outputs.iter_mut().for_each(|output| rename(&mut output.place, &numbers));
    }

    /// Gives buffers whose content is no longer read to later steps.
    ///
    /// Until then every step writes a buffer of its own, numbered behind those of the inputs.
    pub(super) fn share_buffers(&mut self) {
        let count = self.inputs.len() + self.steps.len();
        let mut last_use = vec![0; count];
        let buffer =
            |source: &Source| if let Source::Buffer(place) = source { Some(place.buffer) } else { None };
        for (index, step) in self.steps.iter().enumerate() {
            step.inputs.iter().filter_map(buffer).for_each(|buffer| last_use[buffer] = index);
        }
        // Inputs are read where the caller has them, outputs behind the last step.
        let ends = self.inputs.iter().chain(&self.outputs);
        ends.filter_map(|end| buffer(&end.place)).for_each(|buffer| last_use[buffer] = usize::MAX);

        let mut sizes = vec![0; self.inputs.len()];
        let mut free: Vec<BufferId> = Vec::new();
        let mut shared: Vec<BufferId> = (0..count).collect();
        for (index, step) in self.steps.iter_mut().enumerate() {
            let needed = step.output.words();
            // The tightest free buffer that is large enough, else the largest one, grown.
            let fit = |buffer: &BufferId| match sizes[*buffer] {
                size if size >= needed => (0, size),
                size => (1, usize::MAX - size),
            };
            let tightest = (0..free.len()).min_by_key(|&position| fit(&free[position]));
            let chosen = tightest.map_or(sizes.len(), |position| free.swap_remove(position));
            sizes.resize(sizes.len().max(chosen + 1), 0);
            sizes[chosen] = sizes[chosen].max(needed);
            shared[step.output.buffer] = chosen;
            step.output.buffer = chosen;
            let mut spent: Vec<BufferId> = step.inputs.iter().filter_map(buffer).collect();
            spent.sort_unstable();
            spent.dedup();
            free.extend(
                spent.into_iter().filter(|&input| last_use[input] == index).map(|input| shared[input]),
            );
            step.inputs.iter_mut().for_each(|input| rename(input, &shared));
        }
        self.outputs.iter_mut().for_each(|output| rename(&mut output.place, &shared));
        self.buffers = sizes;
    }
}

fn rename(source: &mut Source, shared: &[BufferId]) {
    if let Source::Buffer(place) = source {
        place.buffer = shared[place.buffer];
    }
}
