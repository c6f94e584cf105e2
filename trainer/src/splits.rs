//! Items -> train, val, test, so that nobody is in two of them.
//!
//! Items that share a person, or are near duplicates, form a group, and groups are not torn apart.
//! Where swaps tie nearly everyone of a set together (Celeb-DF), people are divided instead, and
//! swaps between people of two splits are left out. Official lists come before all of this.

use crate::dataset::Split;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// Shares of the items in train and val; the rest is test.
const SHARES: [f64; 2] = [0.70, 0.15];

/// A group with more than this share of a set, and more than two people, is divided by people.
const MAX_GROUP_SHARE: f64 = 0.3;

/// How splits are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SplitMode {
    /// By person and near duplicate, after official lists; who is on an official test list is in no other split.
    #[default]
    Identity,
    /// Official lists by video, as published results have it; other sets by video, too.
    Official,
    /// As the original AWARE-NET did, by a hash of the file name; people are in several splits.
    Legacy,
}

/// What decides about one item.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its name in the set.
    pub name: String,
    /// 0 real, 1 fake.
    pub label: u8,
    /// Who or what may be in one split only.
    pub keys: Vec<String>,
    /// The publishers' choice.
    pub official: Option<Split>,
}

/// What becomes of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Used in this split, in the group of the item with this index.
    Used(Split, usize),
    /// Left out, and why.
    LeftOut(String),
}

/// The fate of each of `candidates`. `pairs` are near duplicates; `known` holds the split of the keys
/// of earlier sets and takes those of this one.
pub fn assign(
    dataset: &str,
    candidates: &[Candidate],
    pairs: &[(usize, usize)],
    seed: u64,
    known: &mut HashMap<String, Split>,
) -> Vec<Fate> {
    let mut split_of = known.clone();
    let mut listed: HashMap<&str, Split> = HashMap::new();
    for candidate in candidates {
        for key in candidate.official.iter().flat_map(|_| &candidate.keys) {
            let split = listed.entry(key).or_insert(Split::Train);
            *split = (*split).max(candidate.official.unwrap_or(Split::Train));
        }
    }
    split_of.extend(listed.iter().map(|(key, split)| ((*key).to_owned(), *split)));

    // What the lists leave open.
    let open: Vec<usize> = (0..candidates.len())
        .filter(|&index| {
            let candidate = &candidates[index];
            let is_on_test_list = |key: &String| listed.get(key.as_str()) == Some(&Split::Test);
            candidate.official.is_none() && !candidate.keys.iter().any(is_on_test_list)
        })
        .collect();
    let has_test_list = listed.values().any(|split| *split == Split::Test);
    let plan = Plan {
        dataset,
        candidates,
        seed,
        test_share: if has_test_list { 0.0 } else { 1.0 - SHARES[0] - SHARES[1] },
    };
    plan.divide(&open, pairs, &mut split_of);

    let mut fates: Vec<Fate> =
        candidates.iter().map(|candidate| fate_of(candidate, &listed, &split_of)).collect();
    keep_duplicates_together(candidates, pairs, &mut fates);
    for (candidate, fate) in candidates.iter().zip(&fates) {
        if let Fate::Used(split, _) = fate {
            known.extend(candidate.keys.iter().map(|key| (key.clone(), *split)));
        }
    }
    fates
}

fn fate_of(candidate: &Candidate, listed: &HashMap<&str, Split>, split_of: &HashMap<String, Split>) -> Fate {
    let on_test_list = candidate.keys.iter().find(|key| listed.get(key.as_str()) == Some(&Split::Test));
    if let (Some(key), true) = (on_test_list, candidate.official != Some(Split::Test)) {
        return Fate::LeftOut(format!("{key} is on the official test list"));
    }
    let splits: Vec<Split> = candidate.keys.iter().filter_map(|key| split_of.get(key).copied()).collect();
    let first = candidate.official.or(splits.first().copied()).unwrap_or(Split::Train);
    match splits.iter().position(|split| *split != first) {
        Some(other) => Fate::LeftOut(format!(
            "{} is in {}, but the rest of it in {}",
            candidate.keys[other],
            splits[other].name(),
            first.name()
        )),
        None => Fate::Used(first, 0),
    }
}

/// Leaves out what would tie two splits together, and names each group by its first item.
fn keep_duplicates_together(candidates: &[Candidate], pairs: &[(usize, usize)], fates: &mut [Fate]) {
    let used: Vec<usize> = (0..fates.len()).filter(|&i| matches!(fates[i], Fate::Used(..))).collect();
    let roots = groups_of(candidates, &used, pairs);
    let mut strongest: HashMap<usize, Split> = HashMap::new();
    for &index in &used {
        if let Fate::Used(split, _) = fates[index] {
            let of_group = strongest.entry(roots[index]).or_insert(split);
            *of_group = (*of_group).max(split);
        }
    }
    // The first item of a group may be left out, so the name is the first that stays.
    let mut name_of: HashMap<usize, usize> = HashMap::new();
    for &index in &used {
        if let Fate::Used(split, root) = &mut fates[index] {
            if *split == strongest[&roots[index]] {
                *root = *name_of.entry(roots[index]).or_insert(index);
            } else {
                fates[index] = Fate::LeftOut(format!(
                    "a near duplicate, itself or by others, of a picture in {}",
                    strongest[&roots[index]].name()
                ));
            }
        }
    }
}

struct Plan<'a> {
    dataset: &'a str,
    candidates: &'a [Candidate],
    seed: u64,
    test_share: f64,
}

impl Plan<'_> {
    /// Gives each key of the `open` candidates a split, if it has none.
    fn divide(&self, open: &[usize], pairs: &[(usize, usize)], split_of: &mut HashMap<String, Split>) {
        let roots = groups_of(self.candidates, open, pairs);
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &index in open {
            members.entry(roots[index]).or_default().push(index);
        }
        let mut whole: [Vec<(String, Vec<usize>)>; 2] = Default::default();
        for (root, members) in members {
            if self.is_too_large(&members, open.len()) {
                self.divide_people(&members, split_of);
            } else {
                let label = usize::from(self.candidates[root].label);
                whole[label].push((self.candidates[root].name.clone(), members));
            }
        }
        for groups in whole {
            // Earlier sets have decided about groups that hold their people.
            let (bound, free): (Vec<_>, Vec<_>) =
                groups.into_iter().partition(|(_, members)| self.known_split(members, split_of).is_some());
            for (_, members) in bound {
                if let Some(split) = self.known_split(&members, split_of) {
                    self.give(&members, split, split_of);
                }
            }
            let sized = free.into_iter().map(|(name, members)| (name, members.len(), members)).collect();
            for (members, split) in self.by_shares(sized) {
                self.give(&members, split, split_of);
            }
        }
    }

    fn is_too_large(&self, members: &[usize], of: usize) -> bool {
        let has_pairs = members.iter().any(|&index| self.candidates[index].keys.len() > 1);
        let mut keys: Vec<_> = members.iter().flat_map(|&index| &self.candidates[index].keys).collect();
        keys.sort();
        keys.dedup();
        has_pairs && keys.len() > 2 && members.len() as f64 > MAX_GROUP_SHARE * of as f64
    }

    /// Each person to a split, as if the items where they come first were theirs alone.
    fn divide_people(&self, members: &[usize], split_of: &mut HashMap<String, Split>) {
        let mut weight_of: BTreeMap<&String, usize> = BTreeMap::new();
        for &index in members {
            for (place, key) in self.candidates[index].keys.iter().enumerate() {
                *weight_of.entry(key).or_default() += usize::from(place == 0);
            }
        }
        let free = weight_of.into_iter().filter(|(key, _)| !split_of.contains_key(*key));
        let sized = free.map(|(key, weight)| (key.clone(), weight.max(1), key.clone())).collect();
        for (key, split) in self.by_shares(sized) {
            split_of.insert(key, split);
        }
    }

    /// Splits for named things of some size, in the order of a hash of their names.
    fn by_shares<T>(&self, mut things: Vec<(String, usize, T)>) -> Vec<(T, Split)> {
        let (seed, dataset) = (self.seed, self.dataset);
        things.sort_by_cached_key(|(name, ..)| Sha256::digest(format!("{seed}/{dataset}/{name}")));
        let total: usize = things.iter().map(|(_, size, _)| size).sum();
        let all = SHARES[0] + SHARES[1] + self.test_share;
        let mut before = 0;
        let mut given = Vec::with_capacity(things.len());
        for (_, size, thing) in things {
            let share = before as f64 / total as f64 * all;
            let split = match share {
                _ if share < SHARES[0] => Split::Train,
                _ if share < SHARES[0] + SHARES[1] => Split::Val,
                _ => Split::Test,
            };
            given.push((thing, split));
            before += size;
        }
        given
    }

    fn known_split(&self, members: &[usize], split_of: &HashMap<String, Split>) -> Option<Split> {
        members
            .iter()
            .flat_map(|&index| &self.candidates[index].keys)
            .filter_map(|key| split_of.get(key))
            .max()
            .copied()
    }

    fn give(&self, members: &[usize], split: Split, split_of: &mut HashMap<String, Split>) {
        for key in members.iter().flat_map(|&index| &self.candidates[index].keys) {
            split_of.entry(key.clone()).or_insert(split);
        }
    }
}

/// For each candidate the first of `among` that it is tied to by keys or pairs; itself if not in `among`.
fn groups_of(candidates: &[Candidate], among: &[usize], pairs: &[(usize, usize)]) -> Vec<usize> {
    let mut groups = Groups { parent: (0..candidates.len()).collect() };
    let mut first_of: HashMap<&str, usize> = HashMap::new();
    let mut is_among = vec![false; candidates.len()];
    for &index in among {
        is_among[index] = true;
        for key in &candidates[index].keys {
            groups.join(index, *first_of.entry(key).or_insert(index));
        }
    }
    for &(a, b) in pairs.iter().filter(|(a, b)| is_among[*a] && is_among[*b]) {
        groups.join(a, b);
    }
    (0..candidates.len()).map(|index| groups.root(index)).collect()
}

/// Disjoint sets whose root is their smallest member.
struct Groups {
    parent: Vec<usize>,
}

impl Groups {
    fn root(&mut self, mut index: usize) -> usize {
        while self.parent[index] != index {
            self.parent[index] = self.parent[self.parent[index]];
            index = self.parent[index];
        }
        index
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, label: u8, keys: &[&str], official: Option<Split>) -> Candidate {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        Candidate { name: name.to_owned(), label, keys, official }
    }

    fn no_key_is_in_two_splits(candidates: &[Candidate], fates: &[Fate]) {
        let mut split_of = HashMap::new();
        for (candidate, fate) in candidates.iter().zip(fates) {
            if let Fate::Used(split, _) = fate {
                for key in &candidate.keys {
                    assert_eq!(split_of.entry(key).or_insert(split), &split, "{key}");
                }
            }
        }
    }

    #[test]
    fn splits_are_stratified_deterministic_and_keep_groups() {
        let candidates: Vec<_> = (0..400)
            .map(|i| candidate(&format!("{i}"), u8::from(i % 4 > 1), &[&format!("p{}", i / 2)], None))
            .collect();
        let run = |seed| assign("set", &candidates, &[], seed, &mut HashMap::new());
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        no_key_is_in_two_splits(&candidates, &run(7));
        for (split, share) in [(Split::Train, 0.70), (Split::Val, 0.15), (Split::Test, 0.15)] {
            for label in [0, 1] {
                let of = |(c, f): (&Candidate, &Fate)| {
                    c.label == label && matches!(f, Fate::Used(s, _) if *s == split)
                };
                let count = candidates.iter().zip(&run(7)).filter(|pair| of(*pair)).count() as f64;
                assert!((count / 200.0 - share).abs() < 0.02, "{split:?} {label}: {count}");
            }
        }
    }

    #[test]
    fn a_web_of_swaps_is_divided_by_people() {
        let mut candidates = Vec::new();
        for a in 0..20 {
            candidates.push(candidate(&format!("{a}"), 0, &[&format!("id{a}")], None));
            for b in (0..20).filter(|b| *b != a) {
                let keys = [format!("id{a}"), format!("id{b}")];
                candidates.push(candidate(&format!("{a}_{b}"), 1, &[&keys[0], &keys[1]], None));
            }
        }
        let fates = assign("set", &candidates, &[], 1, &mut HashMap::new());
        no_key_is_in_two_splits(&candidates, &fates);
        for split in [Split::Train, Split::Val, Split::Test] {
            for label in [0, 1] {
                let of = |(c, f): (&Candidate, &Fate)| {
                    c.label == label && matches!(f, Fate::Used(s, _) if *s == split)
                };
                assert!(candidates.iter().zip(&fates).any(of), "{split:?} has no {label}");
            }
        }
    }

    #[test]
    fn a_test_list_is_kept_and_its_people_are_nowhere_else() {
        let candidates = [
            candidate("a", 0, &["id0"], Some(Split::Test)),
            candidate("b", 0, &["id0"], None),
            candidate("c", 1, &["id1", "id0"], None),
            candidate("d", 0, &["id1"], None),
            candidate("e", 0, &["id2"], None),
        ];
        // e looks like a.
        let fates = assign("set", &candidates, &[(0, 4)], 1, &mut HashMap::new());
        assert_eq!(fates[0], Fate::Used(Split::Test, 0));
        for index in [1, 2, 4] {
            assert!(matches!(fates[index], Fate::LeftOut(_)), "{index}: {:?}", fates[index]);
        }
        // The list is the whole test split.
        assert!(matches!(fates[3], Fate::Used(Split::Train | Split::Val, 3)), "{:?}", fates[3]);
    }

    #[test]
    fn people_of_an_earlier_set_stay_in_their_split() {
        let mut known = HashMap::from([("id0".to_owned(), Split::Val), ("id9".to_owned(), Split::Test)]);
        let candidates = [
            candidate("a", 1, &["id0"], None),
            candidate("b", 1, &["id5", "id9"], None),
            candidate("c", 1, &["id0", "id9"], None),
        ];
        let fates = assign("set", &candidates, &[], 1, &mut known);
        no_key_is_in_two_splits(&candidates, &fates);
        assert_eq!(fates[0], Fate::Used(Split::Val, 0));
        assert!(matches!(fates[2], Fate::LeftOut(_)), "{:?}", fates[2]);
    }
}
