//! The split of the original AWARE-NET, to compare with its published figures: by a random number
//! seeded with the file's name, as Python draws it. Knows no people, so they are in several splits.

use crate::dataset::Split;
use md5::Md5;
use sha2::{Digest, Sha512};

/// The split that the original gives a file with `key`.
pub fn split_of(key: &str) -> Split {
    match random(key) {
        r if r < 0.70 => Split::Train,
        r if r < 0.85 => Split::Val,
        _ => Split::Test,
    }
}

/// Python's `random.seed(hashlib.md5(key).hexdigest()); random.random()`.
pub fn random(key: &str) -> f64 {
    let digest: String = Md5::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    // Python seeds with the integer of the text and its SHA-512, most significant byte first; the
    // generator takes that in words, least significant first. No digit is 0, so no word falls away.
    let mut seed = digest.clone().into_bytes();
    seed.extend_from_slice(&Sha512::digest(digest.as_bytes()));
    let words: Vec<u32> = seed
        .rchunks_exact(4)
        .map(|bytes| bytes.iter().fold(0, |word, &byte| word << 8 | u32::from(byte)))
        .collect();
    first_random(&words)
}

const N: usize = 624;

/// First 53-bit number in `[0, 1)` of MT19937 after `init_by_array(words)`
/// (<http://www.math.sci.hiroshima-u.ac.jp/m-mat/MT/MT2002/emt19937ar.html>).
fn first_random(words: &[u32]) -> f64 {
    let mut state = [0_u32; N];
    state[0] = 19_650_218;
    for i in 1..N {
        state[i] = mixed(state[i - 1]).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
    }
    let (mut i, mut j) = (1, 0);
    for _ in 0..N.max(words.len()) {
        let step = mixed(state[i - 1]).wrapping_mul(1_664_525);
        state[i] = (state[i] ^ step).wrapping_add(words[j]).wrapping_add(j as u32);
        (i, j) = (next(i, &mut state), (j + 1) % words.len());
    }
    for _ in 1..N {
        let step = mixed(state[i - 1]).wrapping_mul(1_566_083_941);
        state[i] = (state[i] ^ step).wrapping_sub(i as u32);
        i = next(i, &mut state);
    }
    state[0] = 0x8000_0000;
    let (a, b) = (output(&state, 0) >> 5, output(&state, 1) >> 6);
    (f64::from(a) * 67_108_864.0 + f64::from(b)) / 9_007_199_254_740_992.0
}

fn mixed(word: u32) -> u32 {
    word ^ word >> 30
}

/// The index after `i`, which never is 0 again: that place takes the last one's value.
fn next(i: usize, state: &mut [u32; N]) -> usize {
    if i + 1 < N {
        return i + 1;
    }
    state[0] = state[N - 1];
    1
}

/// Output `index` of the first turn; the places it reads are not yet overwritten in that turn.
fn output(state: &[u32; N], index: usize) -> u32 {
    let y = state[index] & 0x8000_0000 | state[index + 1] & 0x7fff_ffff;
    let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
    let mut y = state[index + 397] ^ y >> 1 ^ odd;
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c_5680;
    y ^= y << 15 & 0xefc6_0000;
    y ^ y >> 18
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a08_files_get_the_numbers_and_splits_of_the_original() {
        // What Python 3 gives; the first four are in the original's sample manifests, too.
        let cases = [
            ("id0_0001.mp4", 0.587_592_811_049_981_8, Split::Train),
            ("id0_id16_0000.mp4", 0.643_798_385_187_677_4, Split::Train),
            ("id0_0006.mp4", 0.744_486_739_782_927_6, Split::Val),
            ("id0_id17_0007.mp4", 0.823_378_618_159_979_1, Split::Val),
            ("000", 0.657_256_206_590_897, Split::Train),
            ("000_003", 0.050_719_387_048_185_016, Split::Train),
        ];
        for (key, number, split) in cases {
            assert_eq!(random(key), number, "{key}");
            assert_eq!(split_of(key), split, "{key}");
        }
    }
}
