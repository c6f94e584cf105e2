//! Which shard a file belongs to: a hash of its name decides, the same on every machine and in every run.

use sha2::{Digest, Sha256};
use std::path::Path;
use std::str::FromStr;

/// Most shards of one scan.
pub const MAX_SHARDS: u32 = 100_000;

/// One of `count` parts of a scan, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Below `count`.
    pub index: u32,
    /// 1 to [`MAX_SHARDS`].
    pub count: u32,
}

impl Shard {
    /// Whether the file called `name` belongs to this shard.
    pub fn owns(&self, name: &NameHash) -> bool {
        let [head, _] = [0, 8].map(|at| u64::from_be_bytes(std::array::from_fn(|i| name.0[at + i])));
        head % u64::from(self.count) == u64::from(self.index)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(index, count)| {
            let shard = Shard { index: index.parse().ok()?, count: count.parse().ok()? };
            (shard.index < shard.count && shard.count <= MAX_SHARDS).then_some(shard)
        });
        parsed.ok_or_else(|| {
            format!("{text:?} is no shard; expected I/N with I from 0 to N - 1 and N up to {MAX_SHARDS}")
        })
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// The first 16 bytes of the SHA-256 of a name: as good as the name, and small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameHash([u8; 16]);

impl NameHash {
    /// Of a file's path below the scanned folder.
    pub fn of_path(relative: &Path) -> Self {
        let mut bytes = Vec::new();
        for component in relative.components() {
            if !bytes.is_empty() {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(component.as_os_str().as_encoded_bytes());
        }
        Self::of_bytes(&bytes)
    }

    /// Of the bytes of such a path, with `/` between its names.
    pub fn of_bytes(relative: &[u8]) -> Self {
        let digest = Sha256::digest(relative);
        NameHash(std::array::from_fn(|i| digest[i]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_read_as_it_is_written() {
        let shard: Shard = "3/16".parse().unwrap();
        assert_eq!(shard, Shard { index: 3, count: 16 });
        assert_eq!(shard.to_string(), "3/16");
        for wrong in ["", "3", "3/", "/4", "4/4", "0/0", "-1/4", "0/100001", "1/2/3", "0x1/4", " 0/4"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong:?}");
        }
    }

    /// By Python: int.from_bytes(hashlib.sha256(b"set/real/e.png").digest()[:8], "big") % 7
    #[test]
    fn the_hash_of_a_name_is_the_same_everywhere() {
        let hash = NameHash::of_path(Path::new("set/real/e.png"));
        assert_eq!(hash, NameHash::of_bytes(b"set/real/e.png"));
        let owners: Vec<u32> = (0..7).filter(|&index| Shard { index, count: 7 }.owns(&hash)).collect();
        assert_eq!(owners, [4]);
    }
}
