//! Bytes of a file, a piece at a time: the whole of it is never in memory.

use super::Unfit;
use super::boxes::Source;
use crate::download::describe;
use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, FileReaderSync};

/// So much is read at a time, in bytes: frames lie beside each other.
const PIECE: u64 = 1 << 20;

/// A file of the visitor's, in a worker: only there may somebody wait for it.
pub struct Slices {
    file: Blob,
    reader: FileReaderSync,
    /// Where the piece that was read last begins, and its bytes.
    piece: (u64, Vec<u8>),
}

impl Slices {
    /// The bytes of `file`.
    ///
    /// # Errors
    /// If this is no worker.
    pub fn new(file: Blob) -> Result<Self, Unfit> {
        let reader = FileReaderSync::new().map_err(|error| Unfit::Unreadable(describe(&error)))?;
        Ok(Slices { file, reader, piece: (0, Vec::new()) })
    }

    /// The `length` bytes at `offset`; none if the file ends before.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn bytes(&mut self, offset: u64, length: u32) -> Result<Option<&[u8]>, Unfit> {
        let Some(end) = offset.checked_add(u64::from(length)).filter(|end| *end <= self.size()) else {
            return Ok(None);
        };
        let (start, piece) = &self.piece;
        if offset < *start || end > start + piece.len() as u64 {
            self.piece = (0, Vec::new());
            self.piece = (offset, self.read(offset, u64::from(length).max(PIECE))?);
        }
        let at = (offset - self.piece.0) as usize;
        Ok(self.piece.1.get(at..at + length as usize))
    }
}

impl Source for Slices {
    fn size(&self) -> u64 {
        self.file.size() as u64
    }

    fn read(&mut self, offset: u64, length: u64) -> Result<Vec<u8>, Unfit> {
        let unreadable = |error: JsValue| Unfit::Unreadable(describe(&error));
        let end = offset.saturating_add(length) as f64;
        let slice = self.file.slice_with_f64_and_f64(offset as f64, end).map_err(unreadable)?;
        let buffer = self.reader.read_as_array_buffer(&slice).map_err(unreadable)?;
        Ok(Uint8Array::new(&buffer).to_vec())
    }
}
