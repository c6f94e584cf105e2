//! Items -> train, val, test, so that nobody is in two of them.
//!
//! Items that share a person, or are near duplicates, form a group, and groups are not torn apart.
//! Where swaps tie nearly everyone of a set together (Celeb-DF), people are divided instead, and
//! swaps between people of two splits are left out. Official lists come before all of this.
//!
//! All of this must be in memory at once, so an item is some numbers here: names and people are their
//! hashes. Two people with one hash would stay together, which does no harm.

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
    /// Its place among the items of the set: [`place_of`] its name.
    pub place: u64,
    /// 0 real, 1 fake.
    pub label: u8,
    /// The publishers' choice.
    pub official: Option<Split>,
    /// Who or what may be in one split only: [`key_of`] each.
    pub keys: Vec<u64>,
}

/// The candidates of a set, some thirty bytes each.
#[derive(Debug, Default)]
pub struct Candidates {
    places: Vec<u64>,
    labels: Vec<u8>,
    official: Vec<Option<Split>>,
    keys: Vec<u64>,
    /// Where the keys of each end.
    ends: Vec<usize>,
}

impl Candidates {
    /// Adds `candidate`; its index is the count before.
    pub fn push(&mut self, candidate: &Candidate) {
        self.places.push(candidate.place);
        self.labels.push(candidate.label);
        self.official.push(candidate.official);
        self.keys.extend(&candidate.keys);
        self.ends.push(self.keys.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// 0 real, 1 fake, of each.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    fn keys(&self, index: u32) -> &[u64] {
        let index = index as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.keys[start..self.ends[index]]
    }
}

/// The number that stands for a person or video.
pub fn key_of(name: &str) -> u64 {
    first_bytes(name)
}

/// The number by which things are put in an order that depends on `seed` alone.
pub fn place_of(seed: u64, dataset: &str, name: &str) -> u64 {
    first_bytes(&format!("{seed}/{dataset}/{name}"))
}

fn first_bytes(text: &str) -> u64 {
    Sha256::digest(text).iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What becomes of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Used in this split, in the group of the item with this index.
    Used(Split, u32),
    /// Left out, and why.
    LeftOut(Reason),
}

/// Why an item is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The key with this index is on the official test list.
    OnTestList(u32),
    /// The key with this index is in the first split, the rest in the second.
    Torn(u32, Split, Split),
    /// A near duplicate, itself or by others, of a picture in this split.
    NearDuplicate(Split),
    /// Its method is held out, and its people are in this split.
    HeldOut(Split),
    /// Another method is the one that is tested.
    NotHeldOut,
    /// Another picture with the same pixels is used.
    Duplicate,
    /// The same pixels are called real and fake.
    TwoLabels,
}

impl Reason {
    /// The reason in words; `keys` are the names behind the candidate's keys.
    pub fn text(self, keys: &[String]) -> String {
        let name = |index: u32| keys.get(index as usize).map_or("somebody", String::as_str);
        match self {
            Reason::OnTestList(key) => format!("{} is on the official test list", name(key)),
            Reason::Torn(key, split, rest) => {
                format!("{} is in {}, but the rest of it in {}", name(key), split.name(), rest.name())
            }
            Reason::NearDuplicate(split) => {
                format!("a near duplicate, itself or by others, of a picture in {}", split.name())
            }
            Reason::HeldOut(split) => {
                format!("its method is held out, and this person is in {}", split.name())
            }
            Reason::NotHeldOut => "only the method that is held out is tested".into(),
            Reason::Duplicate => "the pixels of another picture that is used".into(),
            Reason::TwoLabels => "its pixels are called real and fake".into(),
        }
    }
}

/// The fate of each of `candidates`. Those with equal `clusters` are near duplicates; `known` holds the
/// split of each key of earlier sets and takes those of this one.
pub fn assign(
    dataset: &str,
    candidates: &Candidates,
    clusters: &[u32],
    seed: u64,
    known: &mut HashMap<u64, Split>,
) -> Vec<Fate> {
    let mut listed: HashMap<u64, Split> = HashMap::new();
    let indices = || 0..candidates.len() as u32;
    for index in indices() {
        if let Some(official) = candidates.official[index as usize] {
            for key in candidates.keys(index) {
                let split = listed.entry(*key).or_insert(official);
                *split = (*split).max(official);
            }
        }
    }
    known.extend(&listed);

    // What the lists leave open.
    let is_on_test_list = |key: &u64| listed.get(key) == Some(&Split::Test);
    let is_open = |index: &u32| {
        let has_choice = candidates.official[*index as usize].is_some();
        !has_choice && !candidates.keys(*index).iter().any(is_on_test_list)
    };
    let has_test_list = listed.values().any(|split| *split == Split::Test);
    let plan = Plan {
        dataset,
        candidates,
        clusters,
        seed,
        test_share: if has_test_list { 0.0 } else { 1.0 - SHARES[0] - SHARES[1] },
    };
    plan.divide(&indices().filter(is_open).collect::<Vec<_>>(), known);

    let mut fates: Vec<Fate> = indices().map(|index| fate_of(candidates, index, &listed, known)).collect();
    plan.keep_duplicates_together(&mut fates);
    fates
}

fn fate_of(
    candidates: &Candidates,
    index: u32,
    listed: &HashMap<u64, Split>,
    known: &HashMap<u64, Split>,
) -> Fate {
    let (keys, official) = (candidates.keys(index), candidates.official[index as usize]);
    let on_test_list = keys.iter().position(|key| listed.get(key) == Some(&Split::Test));
    if let (Some(key), true) = (on_test_list, official != Some(Split::Test)) {
        return Fate::LeftOut(Reason::OnTestList(key as u32));
    }
    let splits = || keys.iter().enumerate().filter_map(|(place, key)| Some((place, *known.get(key)?)));
    let first = official.or(splits().next().map(|(_, split)| split)).unwrap_or(Split::Train);
    match splits().find(|(_, split)| *split != first) {
        Some((place, other)) => Fate::LeftOut(Reason::Torn(place as u32, other, first)),
        None => Fate::Used(first, index),
    }
}

struct Plan<'a> {
    dataset: &'a str,
    candidates: &'a Candidates,
    clusters: &'a [u32],
    seed: u64,
    test_share: f64,
}

impl Plan<'_> {
    /// Gives each key of the `open` candidates a split, if it has none.
    fn divide(&self, open: &[u32], split_of: &mut HashMap<u64, Split>) {
        let roots = self.groups_of(open);
        let mut members = open.to_vec();
        members.sort_by_key(|index| roots[*index as usize]);
        let mut whole: [Vec<&[u32]>; 2] = Default::default();
        for group in members.chunk_by(|a, b| roots[*a as usize] == roots[*b as usize]) {
            if self.is_too_large(group, open.len()) {
                self.divide_people(group, split_of);
            } else {
                whole[usize::from(self.candidates.labels[group[0] as usize])].push(group);
            }
        }
        for groups in whole {
            // Earlier sets have decided about groups that hold their people.
            let (bound, free): (Vec<&[u32]>, Vec<&[u32]>) =
                groups.into_iter().partition(|group| self.known_split(group, split_of).is_some());
            for group in bound {
                if let Some(split) = self.known_split(group, split_of) {
                    self.give(group, split, split_of);
                }
            }
            let place = |group: &[u32]| self.candidates.places[group[0] as usize];
            let sized = free.into_iter().map(|group| (place(group), group.len(), group)).collect();
            for (group, split) in self.by_shares(sized) {
                self.give(group, split, split_of);
            }
        }
    }

    fn keys_of<'a>(&'a self, group: &'a [u32]) -> impl Iterator<Item = u64> + 'a {
        group.iter().flat_map(|index| self.candidates.keys(*index)).copied()
    }

    fn is_too_large(&self, group: &[u32], of: usize) -> bool {
        if group.len() as f64 <= MAX_GROUP_SHARE * of as f64 {
            return false;
        }
        let mut keys: Vec<u64> = self.keys_of(group).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.len() > 2 && group.iter().any(|index| self.candidates.keys(*index).len() > 1)
    }

    /// Each person to a split, as if the items where they come first were theirs alone.
    fn divide_people(&self, group: &[u32], split_of: &mut HashMap<u64, Split>) {
        let mut weight_of: BTreeMap<u64, usize> = BTreeMap::new();
        for index in group {
            for (place, key) in self.candidates.keys(*index).iter().enumerate() {
                *weight_of.entry(*key).or_default() += usize::from(place == 0);
            }
        }
        let free = weight_of.into_iter().filter(|(key, _)| !split_of.contains_key(key));
        let place = |key: u64| place_of(self.seed, self.dataset, &format!("{key:016x}"));
        let sized = free.map(|(key, weight)| (place(key), weight.max(1), key)).collect();
        for (key, split) in self.by_shares(sized) {
            split_of.insert(key, split);
        }
    }

    /// Splits for things with a place and a size, in the order of their places.
    fn by_shares<T>(&self, mut things: Vec<(u64, usize, T)>) -> Vec<(T, Split)> {
        things.sort_by_key(|(place, ..)| *place);
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

    fn known_split(&self, group: &[u32], split_of: &HashMap<u64, Split>) -> Option<Split> {
        self.keys_of(group).filter_map(|key| split_of.get(&key)).max().copied()
    }

    fn give(&self, group: &[u32], split: Split, split_of: &mut HashMap<u64, Split>) {
        for key in self.keys_of(group) {
            split_of.entry(key).or_insert(split);
        }
    }

    /// Leaves out what would tie two splits together, and names each group by its first item.
    fn keep_duplicates_together(&self, fates: &mut [Fate]) {
        let is_used = |index: &u32| matches!(fates[*index as usize], Fate::Used(..));
        let used: Vec<u32> = (0..fates.len() as u32).filter(is_used).collect();
        let roots = self.groups_of(&used);
        let mut strongest: Vec<Option<Split>> = vec![None; fates.len()];
        for index in &used {
            if let Fate::Used(split, _) = fates[*index as usize] {
                let of_group = &mut strongest[roots[*index as usize] as usize];
                *of_group = (*of_group).max(Some(split));
            }
        }
        // The first item of a group may be left out, so the name is the first that stays.
        let mut name_of: Vec<Option<u32>> = vec![None; fates.len()];
        for index in used {
            let group = roots[index as usize] as usize;
            let (Fate::Used(split, name), Some(strongest)) = (&mut fates[index as usize], strongest[group])
            else {
                continue;
            };
            if *split == strongest {
                *name = *name_of[group].get_or_insert(index);
            } else {
                fates[index as usize] = Fate::LeftOut(Reason::NearDuplicate(strongest));
            }
        }
    }

    /// For each candidate the first of `among` that it is tied to by keys or clusters; itself if not in `among`.
    fn groups_of(&self, among: &[u32]) -> Vec<u32> {
        let mut groups = Groups::new(self.candidates.len());
        let mut first_of: HashMap<u64, u32> = HashMap::new();
        let mut first_in: Vec<Option<u32>> = vec![None; self.candidates.len()];
        for &index in among {
            for key in self.candidates.keys(index) {
                groups.join(index, *first_of.entry(*key).or_insert(index));
            }
            let cluster = self.clusters[index as usize] as usize;
            groups.join(index, *first_in[cluster].get_or_insert(index));
        }
        groups.roots()
    }
}

/// Disjoint sets whose root is their smallest member.
pub(crate) struct Groups {
    parent: Vec<u32>,
}

impl Groups {
    /// `count` sets of one.
    pub(crate) fn new(count: usize) -> Self {
        Groups { parent: (0..count as u32).collect() }
    }

    fn root(&mut self, mut index: u32) -> u32 {
        while self.parent[index as usize] != index {
            self.parent[index as usize] = self.parent[self.parent[index as usize] as usize];
            index = self.parent[index as usize];
        }
        index
    }

    /// Makes the sets of `a` and `b` one.
    pub(crate) fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b) as usize] = a.min(b);
    }

    /// The root of each.
    pub(crate) fn roots(mut self) -> Vec<u32> {
        (0..self.parent.len() as u32).map(|index| self.root(index)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named {
        label: u8,
        keys: Vec<String>,
        candidate: Candidate,
    }

    fn candidate(name: &str, label: u8, keys: &[&str], official: Option<Split>) -> Named {
        let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        let hashes = keys.iter().map(|key| key_of(key)).collect();
        let candidate = Candidate { place: place_of(0, "", name), label, official, keys: hashes };
        Named { label, keys, candidate }
    }

    /// The fates of `named`, of which each of `near` is a near duplicate of the first of them.
    fn assign(named: &[Named], near: &[u32], seed: u64, known: &mut HashMap<u64, Split>) -> Vec<Fate> {
        let mut candidates = Candidates::default();
        for (index, named) in named.iter().enumerate() {
            let place = place_of(seed, "set", &format!("{index}"));
            candidates.push(&Candidate { place, ..named.candidate.clone() });
        }
        let mut clusters: Vec<u32> = (0..named.len() as u32).collect();
        near.iter().for_each(|index| clusters[*index as usize] = near[0]);
        super::assign("set", &candidates, &clusters, seed, known)
    }

    fn no_key_is_in_two_splits(candidates: &[Named], fates: &[Fate]) {
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
        let run = |seed| assign(&candidates, &[], seed, &mut HashMap::new());
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        no_key_is_in_two_splits(&candidates, &run(7));
        for (split, share) in [(Split::Train, 0.70), (Split::Val, 0.15), (Split::Test, 0.15)] {
            for label in [0, 1] {
                let of = |(c, f): (&Named, &Fate)| {
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
        let fates = assign(&candidates, &[], 1, &mut HashMap::new());
        no_key_is_in_two_splits(&candidates, &fates);
        for split in [Split::Train, Split::Val, Split::Test] {
            for label in [0, 1] {
                let of = |(c, f): (&Named, &Fate)| {
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
        let fates = assign(&candidates, &[0, 4], 1, &mut HashMap::new());
        assert_eq!(fates[0], Fate::Used(Split::Test, 0));
        for index in [1, 2, 4] {
            assert!(matches!(fates[index], Fate::LeftOut(_)), "{index}: {:?}", fates[index]);
        }
        // The list is the whole test split.
        assert!(matches!(fates[3], Fate::Used(Split::Train | Split::Val, 3)), "{:?}", fates[3]);
    }

    #[test]
    fn people_of_an_earlier_set_stay_in_their_split() {
        let mut known = HashMap::from([(key_of("id0"), Split::Val), (key_of("id9"), Split::Test)]);
        let candidates = [
            candidate("a", 1, &["id0"], None),
            candidate("b", 1, &["id5", "id9"], None),
            candidate("c", 1, &["id0", "id9"], None),
        ];
        let fates = assign(&candidates, &[], 1, &mut known);
        no_key_is_in_two_splits(&candidates, &fates);
        assert_eq!(fates[0], Fate::Used(Split::Val, 0));
        assert!(matches!(fates[2], Fate::LeftOut(_)), "{:?}", fates[2]);
    }

    #[test]
    fn near_duplicates_of_one_that_is_left_out_stay_together() {
        for seed in 0..20 {
            let mut candidates = vec![
                candidate("a", 0, &["id0"], Some(Split::Test)),
                // Left out for id0's sake, and a near duplicate of b and c.
                candidate("x", 0, &["id0"], None),
                candidate("b", 0, &["id1"], None),
                candidate("c", 0, &["id2"], None),
            ];
            candidates.extend((3..20).map(|i| candidate("", 0, &[&format!("id{i}")], None)));
            let fates = assign(&candidates, &[1, 2, 3], seed, &mut HashMap::new());
            assert_eq!(fates[1], Fate::LeftOut(Reason::OnTestList(0)));
            let (Fate::Used(b, _), Fate::Used(c, _)) = (fates[2], fates[3]) else { panic!("{fates:?}") };
            assert_eq!(b, c);
        }
    }
}
