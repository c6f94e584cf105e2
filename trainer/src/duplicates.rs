//! Pictures that are nearly or wholly the same.

use crate::dataset::Split;
use crate::splits::{Fate, Groups, Reason};
use std::collections::HashMap;

/// Most differing bits of two hashes that count as one picture; what the pairs of the `ciplab`
/// list, looked through by eye, go up to.
pub const NEAR_DUPLICATE_BITS: u32 = 5;

/// For each of `hashes` the first that it is tied to, directly or by others, by nearness or by the pairs
/// of `listed`. Four bytes each, and as many while it works.
pub fn clusters(hashes: &[u64], listed: &[(u32, u32)]) -> Vec<u32> {
    let mut groups = Groups::new(hashes.len());
    listed.iter().for_each(|(a, b)| groups.join(*a, *b));
    let hash = |index: &u32| hashes[*index as usize];
    let mut distinct: Vec<u32> = (0..hashes.len() as u32).collect();
    distinct.sort_by_key(hash);
    // Thousands of black frames cost one comparison each.
    distinct.dedup_by(|next, first| {
        let is_same = hash(next) == hash(first);
        if is_same {
            groups.join(*next, *first);
        }
        is_same
    });
    // Two hashes that differ in at most five bits agree in one of six bands.
    let bands = NEAR_DUPLICATE_BITS + 1;
    let width = u64::BITS.div_ceil(bands);
    for band in 0..bands {
        let key = |index: &u32| hash(index) >> (band * width) & ((1 << width) - 1);
        distinct.sort_unstable_by_key(key);
        for bucket in distinct.chunk_by(|a, b| key(a) == key(b)) {
            for (place, one) in bucket.iter().enumerate() {
                for other in &bucket[place + 1..] {
                    if (hash(one) ^ hash(other)).count_ones() <= NEAR_DUPLICATE_BITS {
                        groups.join(*one, *other);
                    }
                }
            }
        }
    }
    groups.roots()
}

/// One of several pictures with the same pixels.
struct Keeper {
    set: usize,
    index: usize,
    split: Split,
    is_two_labels: bool,
    label: u8,
}

/// The digests and fates of the pictures of one set.
pub(crate) struct Digested<'a> {
    /// Of each picture's pixels.
    pub(crate) digests: &'a [u128],
    /// 0 real, 1 fake.
    pub(crate) labels: &'a [u8],
    /// What becomes of each.
    pub(crate) fates: &'a mut [Fate],
}

/// Of pictures in use with the same pixels one stays: of the strongest split, the first. Where they are
/// called real and fake, none does.
pub(crate) fn drop_equal(sets: &mut [Digested]) {
    let mut keepers: HashMap<u128, Keeper> = HashMap::new();
    for (number, set) in sets.iter().enumerate() {
        for (index, fate) in set.fates.iter().enumerate() {
            let Fate::Used(split, _) = *fate else { continue };
            let label = set.labels[index];
            let new = Keeper { set: number, index, split, is_two_labels: false, label };
            let keeper = keepers.entry(set.digests[index]).or_insert(new);
            keeper.is_two_labels |= keeper.label != label;
            if split > keeper.split {
                (keeper.set, keeper.index, keeper.split) = (number, index, split);
            }
        }
    }
    for (number, set) in sets.iter_mut().enumerate() {
        for (index, fate) in set.fates.iter_mut().enumerate() {
            let (Fate::Used(..), Some(keeper)) = (&*fate, keepers.get(&set.digests[index])) else { continue };
            if keeper.is_two_labels {
                *fate = Fate::LeftOut(Reason::TwoLabels);
            } else if (keeper.set, keeper.index) != (number, index) {
                *fate = Fate::LeftOut(Reason::Duplicate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_within_five_bits_are_near_also_by_others() {
        let base = 0x0123_4567_89ab_cdef;
        let hashes = [
            base,
            base ^ 0b1_1111,
            base ^ 0x8000_8000_8000_8001,
            // Six bits from the first, but one from the second.
            base ^ 0b11_1111,
            !base,
            base,
            !base ^ 0b11_1111,
        ];
        assert_eq!(clusters(&hashes, &[]), [0, 0, 0, 0, 4, 0, 6]);
        assert_eq!(clusters(&hashes, &[(6, 3)]), [0, 0, 0, 0, 4, 0, 0]);
    }

    #[test]
    fn every_pair_within_five_bits_is_found() {
        // A plain search over pairs says the same.
        let mut hashes: Vec<u64> = (0..300_u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        for place in 0..200 {
            let bits = (0..5).fold(0, |bits, i| bits | 1 << ((place * 7 + i * (place % 13 + 1)) % 64));
            hashes.push(hashes[place] ^ bits);
        }
        let mut groups = Groups::new(hashes.len());
        for a in 0..hashes.len() {
            for b in 0..a {
                if (hashes[a] ^ hashes[b]).count_ones() <= NEAR_DUPLICATE_BITS {
                    groups.join(a as u32, b as u32);
                }
            }
        }
        assert_eq!(clusters(&hashes, &[]), groups.roots());
    }

    #[test]
    fn of_equal_pictures_the_first_of_the_strongest_split_stays() {
        let used = |split| Fate::Used(split, 0);
        let mut first = [used(Split::Train), used(Split::Train), used(Split::Val), used(Split::Train)];
        let mut second = [used(Split::Test), used(Split::Test), used(Split::Val)];
        let mut sets = [
            Digested { digests: &[1, 1, 2, 3], labels: &[0, 0, 1, 1], fates: &mut first },
            Digested { digests: &[1, 1, 2], labels: &[0, 0, 0], fates: &mut second },
        ];
        drop_equal(&mut sets);
        let gone = Fate::LeftOut(Reason::Duplicate);
        let both = Fate::LeftOut(Reason::TwoLabels);
        assert_eq!(first, [gone, gone, both, used(Split::Train)]);
        assert_eq!(second, [used(Split::Test), gone, both]);
    }
}
