//! In which order the axes of a value lie in memory.
//!
//! TFLite's layers want maps as `[N, H, W, C]`; a value of the ONNX graph `[N, C, H, W]` then has the order `[0, 2, 3, 1]`:
//! what lies at place `i` is axis `order[i]`. A transposition in the ONNX graph is another order of the same elements, and
//! costs nothing until something wants the axes as they are counted.

/// Maps as TFLite's layers read them.
pub(super) const CHANNELS_LAST: [usize; 4] = [0, 2, 3, 1];

/// The axes as they are counted.
pub(super) fn counted(rank: usize) -> Vec<usize> {
    (0..rank).collect()
}

/// Extents of the axes in their order.
pub(super) fn extents(shape: &[usize], order: &[usize]) -> Vec<usize> {
    order.iter().map(|&axis| shape[axis]).collect()
}

/// Which place of `from` goes to each place of `to`.
pub(super) fn permutation(from: &[usize], to: &[usize]) -> Vec<usize> {
    to.iter().map(|axis| from.iter().position(|other| other == axis).unwrap_or(0)).collect()
}

/// Whether the elements lie alike in both orders: they differ by axes of one element.
pub(super) fn lies_alike(shape: &[usize], a: &[usize], b: &[usize]) -> bool {
    let long = |order: &[usize]| order.iter().copied().filter(|&axis| shape[axis] != 1).collect::<Vec<_>>();
    long(a) == long(b)
}

/// The order of the axes of `new`, as many elements as `old`, if the elements need not move; none if they must.
pub(super) fn reshaped(old: &[usize], order: &[usize], new: &[usize]) -> Option<Vec<usize>> {
    let groups = groups(old, new);
    let mut result = Vec::new();
    let mut taken = vec![false; groups.len()];
    let mut places = order.iter().copied().filter(|&axis| old[axis] != 1).peekable();
    while let Some(axis) = places.next() {
        let index = groups.iter().position(|(olds, _)| olds.contains(&axis))?;
        let (olds, news) = &groups[index];
        // All of a group must lie together and as they are counted.
        let mut others = olds.clone().filter(|&axis| old[axis] != 1);
        if others.next() != Some(axis) || !others.all(|other| places.next() == Some(other)) {
            return None;
        }
        taken[index] = true;
        result.extend(news.clone());
    }
    // Axes of one element lie anywhere: before the next one that is counted.
    for axis in groups.iter().zip(taken).filter(|(_, taken)| !taken).flat_map(|((_, news), _)| news.clone()) {
        let place = result.iter().position(|&other| other > axis).unwrap_or(result.len());
        result.insert(place, axis);
    }
    Some(result)
}

/// The smallest runs of axes with as many elements in both shapes.
fn groups(old: &[usize], new: &[usize]) -> Vec<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut groups = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() && j < new.len() {
        let (first_old, first_new) = (i, j);
        let (mut a, mut b) = (old[i], new[j]);
        (i, j) = (i + 1, j + 1);
        while a != b {
            if a < b && i < old.len() {
                a *= old[i];
                i += 1;
            } else if j < new.len() {
                b *= new[j];
                j += 1;
            } else {
                break;
            }
        }
        groups.push((first_old..i, first_new..j));
    }
    if let Some((olds, news)) = groups.last_mut() {
        (olds.end, news.end) = (old.len(), new.len());
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the elements of a value of `shape` lie that is stored in `order`, in the order in which they are counted.
    fn places(shape: &[usize], order: &[usize]) -> Vec<usize> {
        let total = shape.iter().product();
        let mut places = vec![0; total];
        for (place, found) in places.iter_mut().enumerate() {
            let mut rest = place;
            let mut index = vec![0; shape.len()];
            for axis in (0..shape.len()).rev() {
                index[axis] = rest % shape[axis];
                rest /= shape[axis];
            }
            *found = order.iter().fold(0, |at, &axis| at * shape[axis] + index[axis]);
        }
        places
    }

    #[test]
    fn other_shapes_keep_every_element_where_it_lies() {
        for (old, order, new, moves) in [
            (&[1, 6, 4, 8][..], &[0, 2, 3, 1][..], &[2, 3, 2, 2, 4, 2][..], false),
            (&[1, 6, 4, 8], &[0, 2, 3, 1], &[1, 2, 3, 32], false),
            (&[1, 6, 4, 8], &[0, 2, 3, 1], &[1, 192], true),
            (&[1, 6, 4, 8], &[0, 1, 2, 3], &[1, 192], false),
            (&[1, 6, 1, 1], &[0, 2, 3, 1], &[1, 6], false),
            (&[2, 3, 4], &[1, 0, 2], &[6, 4], true),
            (&[2, 3, 4], &[2, 0, 1], &[6, 4], false),
            (&[2, 3, 4], &[2, 0, 1], &[6, 2, 1, 2, 1], false),
            (&[1, 1], &[1, 0], &[1], false),
        ] {
            let found = reshaped(old, order, new);
            assert_eq!(found.is_none(), moves, "{old:?} in {order:?} as {new:?}: {found:?}");
            if let Some(found) = found {
                let mut sorted = found.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, counted(new.len()), "{old:?} in {order:?} as {new:?}");
                assert_eq!(
                    places(old, order),
                    places(new, &found),
                    "{old:?} in {order:?} as {new:?}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn a_permutation_says_where_each_place_comes_from() {
        assert_eq!(permutation(&CHANNELS_LAST, &[0, 1, 2, 3]), [0, 3, 1, 2]);
        assert_eq!(permutation(&[0, 1, 2, 3], &CHANNELS_LAST), [0, 2, 3, 1]);
        assert!(lies_alike(&[1, 6, 1, 1], &CHANNELS_LAST, &[0, 1, 2, 3]));
        assert!(!lies_alike(&[1, 6, 2, 1], &CHANNELS_LAST, &[0, 1, 2, 3]));
    }
}
