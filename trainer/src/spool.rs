//! Records on disk, in the order in which they came: a million of them cost no memory.

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, Write};
use std::marker::PhantomData;

/// Records in a temporary file that nobody else sees and that goes with the value.
pub(crate) struct Spool<T> {
    file: BufWriter<File>,
    count: usize,
    records: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Spool<T> {
    /// No records yet.
    ///
    /// # Errors
    /// If the system's folder for temporary files takes none.
    pub(crate) fn new() -> Result<Self> {
        let file = tempfile::tempfile()
            .with_context(|| format!("cannot write to {}", std::env::temp_dir().display()))?;
        Ok(Spool { file: BufWriter::new(file), count: 0, records: PhantomData })
    }

    /// Adds `record`.
    ///
    /// # Errors
    /// If the disk is full.
    pub(crate) fn push(&mut self, record: &T) -> Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.file.write_all(&line).context("cannot write a temporary file")?;
        self.count += 1;
        Ok(())
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Every record, in the order in which they came.
    ///
    /// # Errors
    /// If the file does not go back to its start; later if a record does not read.
    pub(crate) fn read(self) -> Result<impl Iterator<Item = Result<T>>> {
        let mut file = self.file.into_inner().context("cannot write a temporary file")?;
        file.rewind()?;
        Ok(BufReader::new(file).lines().map(|line| Ok(serde_json::from_str(&line?)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_in_their_order() {
        let mut spool = Spool::new().unwrap();
        let records: Vec<String> = (0..1000).map(|i| format!("{i}\n\"{}", "x".repeat(i))).collect();
        records.iter().for_each(|record| spool.push(record).unwrap());
        assert_eq!(spool.len(), 1000);
        assert_eq!(spool.read().unwrap().collect::<Result<Vec<_>>>().unwrap(), records);
    }
}
