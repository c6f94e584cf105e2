//! Tables of a flatbuffer, read with every place checked.

use super::schema::slot;

/// A place outside the file, or a table that ends before its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outside;

type Result<T> = std::result::Result<T, Outside>;

/// A table of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    file: &'a [u8],
    at: usize,
    fields: usize,
    fields_end: usize,
}

/// Places of the entries of a vector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entries<'a> {
    file: &'a [u8],
    first: usize,
    count: usize,
}

impl<'a> Table<'a> {
    /// The table that the first word of the file names.
    pub(super) fn root(file: &'a [u8]) -> Result<Self> {
        Self::at(file, word(file, 0)? as usize)
    }

    fn at(file: &'a [u8], at: usize) -> Result<Self> {
        // The list of fields lies so many bytes before the table.
        let back = i64::from(word(file, at)? as i32);
        let fields = i64::try_from(at).ok().and_then(|at| at.checked_sub(back)).ok_or(Outside)?;
        let fields = usize::try_from(fields).map_err(|_| Outside)?;
        let length = usize::from(u16::from_le_bytes(take(file, fields)?));
        let fields_end = fields.checked_add(length).filter(|&end| end <= file.len()).ok_or(Outside)?;
        Ok(Table { file, at, fields, fields_end })
    }

    /// Where the field `number` is, if the table has it.
    fn field(&self, number: u16) -> Result<Option<usize>> {
        let entry = self.fields + usize::from(slot(number));
        if entry + 2 > self.fields_end {
            return Ok(None);
        }
        let offset = usize::from(u16::from_le_bytes(take(self.file, entry)?));
        if offset == 0 { Ok(None) } else { self.at.checked_add(offset).map(Some).ok_or(Outside) }
    }

    /// Whether the table has the field.
    pub(super) fn has(&self, number: u16) -> Result<bool> {
        Ok(self.field(number)?.is_some())
    }

    pub(super) fn byte(&self, number: u16, default: i8) -> Result<i8> {
        let Some(at) = self.field(number)? else { return Ok(default) };
        Ok(i8::from_le_bytes(take(self.file, at)?))
    }

    pub(super) fn integer(&self, number: u16, default: i32) -> Result<i32> {
        let Some(at) = self.field(number)? else { return Ok(default) };
        Ok(word(self.file, at)? as i32)
    }

    pub(super) fn index(&self, number: u16) -> Result<usize> {
        let Some(at) = self.field(number)? else { return Ok(0) };
        Ok(word(self.file, at)? as usize)
    }

    /// A field of 64 bits.
    pub(super) fn long(&self, number: u16) -> Result<u64> {
        let Some(at) = self.field(number)? else { return Ok(0) };
        Ok(u64::from_le_bytes(take(self.file, at)?))
    }

    pub(super) fn table(&self, number: u16) -> Result<Option<Table<'a>>> {
        let Some(at) = self.field(number)? else { return Ok(None) };
        Table::at(self.file, target(self.file, at)?).map(Some)
    }

    /// The bytes of a text, or of a vector of bytes.
    pub(super) fn bytes(&self, number: u16) -> Result<&'a [u8]> {
        let entries = self.entries(number, 1)?;
        self.file.get(entries.first..entries.first + entries.count).ok_or(Outside)
    }

    pub(super) fn integers(&self, number: u16) -> Result<Vec<i32>> {
        let entries = self.entries(number, 4)?;
        (0..entries.count).map(|index| Ok(word(self.file, entries.first + 4 * index)? as i32)).collect()
    }

    pub(super) fn floats(&self, number: u16) -> Result<Vec<f32>> {
        Ok(self.integers(number)?.into_iter().map(|bits| f32::from_bits(bits as u32)).collect())
    }

    pub(super) fn longs(&self, number: u16) -> Result<Vec<i64>> {
        let entries = self.entries(number, 8)?;
        (0..entries.count)
            .map(|index| Ok(i64::from_le_bytes(take(self.file, entries.first + 8 * index)?)))
            .collect()
    }

    pub(super) fn tables(&self, number: u16) -> Result<Vec<Table<'a>>> {
        let entries = self.entries(number, 4)?;
        (0..entries.count)
            .map(|index| Table::at(entries.file, target(entries.file, entries.first + 4 * index)?))
            .collect()
    }

    /// The entries, of `size` bytes each, of a vector; none if the table lacks it. They lie in the file.
    fn entries(&self, number: u16, size: usize) -> Result<Entries<'a>> {
        let Some(at) = self.field(number)? else {
            return Ok(Entries { file: self.file, first: 0, count: 0 });
        };
        let at = target(self.file, at)?;
        let count = word(self.file, at)? as usize;
        let first = at + 4;
        let end = count.checked_mul(size).and_then(|bytes| first.checked_add(bytes)).ok_or(Outside)?;
        if end <= self.file.len() { Ok(Entries { file: self.file, first, count }) } else { Err(Outside) }
    }
}

/// Where the offset at `at` leads.
fn target(file: &[u8], at: usize) -> Result<usize> {
    at.checked_add(word(file, at)? as usize).ok_or(Outside)
}

fn word(file: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_le_bytes(take(file, at)?))
}

fn take<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N]> {
    file.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Outside)
}
