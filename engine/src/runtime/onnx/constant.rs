//! `TensorProto` -> checked [`Constant`].

use crate::runtime::constant::{Constant, Values};
use crate::runtime::error::ModelError;
use crate::runtime::proto::{FLOAT, INT4, INT8, INT32, INT64, TensorProto, UINT4, UINT8};
use crate::runtime::shape::{MAX_ELEMENTS, checked_elements};

/// The content of a constant, its size checked against its shape before anything is allocated.
///
/// # Errors
/// [`ModelError::Constant`] if type, shape and content do not fit.
pub fn read(proto: &TensorProto) -> Result<Constant, ModelError> {
    let refuse = |detail: String| ModelError::Constant { tensor: proto.name.clone(), detail };
    if proto.data_location != 0 || !proto.external_data.is_empty() {
        return Err(refuse("its content lies in another file, which is not supported".into()));
    }
    let extents: Option<Vec<usize>> = proto.dims.iter().map(|&extent| usize::try_from(extent).ok()).collect();
    let Some((shape, elements)) = extents.and_then(|shape| checked_elements(&shape).map(|n| (shape, n)))
    else {
        let detail = format!("shape {:?} is negative or above {MAX_ELEMENTS} elements", proto.dims);
        return Err(refuse(detail));
    };
    let content = Content { proto, elements };
    let values = match proto.data_type {
        FLOAT => content
            .values(4, &proto.float_data, |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .map(Values::F32),
        INT32 => content
            .values(4, &proto.int32_data, |b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .map(Values::I32),
        INT64 => content
            .values(8, &proto.int64_data, |b| {
                i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])
            })
            .map(Values::I64),
        INT8 => content.small(|byte| byte as i8, |value| i8::try_from(value).ok()).map(Values::I8),
        UINT8 => content.small(|byte| byte, |value| u8::try_from(value).ok()).map(Values::U8),
        // The upper half first shifted out, then back with its sign.
        INT4 => content.halves(|half| (half << 4) as i8 >> 4).map(Values::I8),
        UINT4 => content.halves(|half| half & 0x0F).map(Values::U8),
        other => Err(format!("element type {other} is not supported")),
    };
    let values = values.map_err(refuse)?;
    if let Values::F32(floats) = &values
        && floats.iter().any(|value| !value.is_finite())
    {
        return Err(refuse("it holds a value that is not a finite number".into()));
    }
    Ok(Constant { shape, values })
}

/// Where the elements of a constant are.
struct Content<'a> {
    proto: &'a TensorProto,
    elements: usize,
}

impl Content<'_> {
    /// Elements of `size` bytes each, or listed one by one.
    fn values<T: Clone>(&self, size: usize, listed: &[T], read: fn(&[u8]) -> T) -> Result<Vec<T>, String> {
        let raw = &self.proto.raw_data;
        if raw.is_empty() {
            return self.counted(listed.to_vec());
        }
        self.check_bytes(self.elements * size)?;
        Ok(raw.chunks_exact(size).map(read).collect())
    }

    /// Elements of one byte, or listed in 32 bits each.
    fn small<T>(&self, byte: fn(u8) -> T, listed: fn(i32) -> Option<T>) -> Result<Vec<T>, String> {
        if self.proto.raw_data.is_empty() {
            let values: Option<Vec<T>> = self.proto.int32_data.iter().map(|&value| listed(value)).collect();
            return self.counted(values.ok_or("an element does not fit its type")?);
        }
        self.check_bytes(self.elements)?;
        Ok(self.proto.raw_data.iter().map(|&value| byte(value)).collect())
    }

    /// Elements of four bits, two in a byte.
    fn halves<T>(&self, read: fn(u8) -> T) -> Result<Vec<T>, String> {
        let bytes: Vec<u8> = if self.proto.raw_data.is_empty() {
            self.proto.int32_data.iter().map(|&value| value as u8).collect()
        } else {
            self.proto.raw_data.clone()
        };
        let needed = self.elements.div_ceil(2);
        if bytes.len() != needed {
            return Err(format!("{} elements need {needed} bytes, got {}", self.elements, bytes.len()));
        }
        Ok((0..self.elements).map(|i| read(bytes[i / 2] >> (i % 2 * 4))).collect())
    }

    fn check_bytes(&self, needed: usize) -> Result<(), String> {
        match self.proto.raw_data.len() {
            bytes if bytes == needed => Ok(()),
            bytes => Err(format!("shape {:?} needs {needed} bytes, got {bytes}", self.proto.dims)),
        }
    }

    fn counted<T>(&self, values: Vec<T>) -> Result<Vec<T>, String> {
        match values.len() {
            count if count == self.elements => Ok(values),
            count => Err(format!("shape {:?} needs {} values, got {count}", self.proto.dims, self.elements)),
        }
    }
}
