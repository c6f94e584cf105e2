//! How many messages a file holds, counted before anything is decoded.

/// Which fields of a message are messages that are counted, and what they hold.
pub struct Schema(&'static [(u64, &'static Schema)]);

static LEAF: Schema = Schema(&[]);
static TENSOR: Schema = Schema(&[(13, &LEAF)]);
static ATTRIBUTE: Schema = Schema(&[(5, &TENSOR), (9, &LEAF), (11, &LEAF)]);
static NODE: Schema = Schema(&[(1, &LEAF), (2, &LEAF), (5, &ATTRIBUTE)]);
static SHAPE: Schema = Schema(&[(1, &LEAF)]);
static TENSOR_TYPE: Schema = Schema(&[(2, &SHAPE)]);
static TYPE: Schema = Schema(&[(1, &TENSOR_TYPE)]);
static VALUE_INFO: Schema = Schema(&[(2, &TYPE)]);
static GRAPH: Schema =
    Schema(&[(1, &NODE), (5, &TENSOR), (11, &VALUE_INFO), (12, &VALUE_INFO), (13, &VALUE_INFO), (15, &LEAF)]);
/// A whole file.
pub static MODEL: &Schema = &Schema(&[(7, &GRAPH), (8, &LEAF), (14, &LEAF), (25, &LEAF)]);

/// Number of messages in `bytes` that decode to a structure each; stops where the bytes are no
/// protobuf, which the decoder then reports.
pub fn count_messages(mut bytes: &[u8], schema: &Schema) -> usize {
    let mut count = 0;
    while let Some(key) = varint(&mut bytes) {
        let skip = match key & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            5 => Some(4),
            2 => varint(&mut bytes),
            // The decoder skips groups with all they hold; counting that too errs on the safe side.
            3 | 4 => Some(0),
            _ => None,
        };
        let Some(field) = skip.and_then(|skip| bytes.split_at_checked(usize::try_from(skip).ok()?)) else {
            break;
        };
        if let Some((_, inner)) = schema.0.iter().find(|(number, _)| *number == key >> 3 && key & 7 == 2) {
            count += 1 + count_messages(field.0, inner);
        }
        bytes = field.1;
    }
    count
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
