//! Numbers of the TFLite file format, as far as they are written or read here.
//!
//! Source: `schema.fbs`, version 3 (TensorFlow `tensorflow/lite/schema/schema.fbs`, LiteRT
//! `tflite/converter/schema/schema.fbs`). A field's number is its place in its table.

use flatbuffers::VOffsetT;

/// Version of the schema that files name.
pub(super) const VERSION: u32 = 3;
/// `file_identifier`
pub(super) const IDENTIFIER: &str = "TFL3";
/// `force_align` of the data of a buffer, in bytes from the beginning of the file.
pub(super) const DATA_ALIGNMENT: usize = 16;

/// Where a table's list of fields names its field number `number`.
pub(super) const fn slot(number: VOffsetT) -> VOffsetT {
    4 + 2 * number
}

/// Fields of `Model`.
pub(super) mod model {
    pub const VERSION: u16 = 0;
    pub const OPERATOR_CODES: u16 = 1;
    pub const SUBGRAPHS: u16 = 2;
    pub const DESCRIPTION: u16 = 3;
    pub const BUFFERS: u16 = 4;
    pub const METADATA_BUFFER: u16 = 5;
    pub const METADATA: u16 = 6;
    pub const SIGNATURES: u16 = 7;
    pub const EXTERNAL_BUFFERS: u16 = 9;
}

/// Fields of `OperatorCode`.
pub(super) mod operator_code {
    pub const DEPRECATED_CODE: u16 = 0;
    pub const CUSTOM_CODE: u16 = 1;
    pub const VERSION: u16 = 2;
    pub const CODE: u16 = 3;
}

/// Fields of `SubGraph`.
pub(super) mod subgraph {
    pub const TENSORS: u16 = 0;
    pub const INPUTS: u16 = 1;
    pub const OUTPUTS: u16 = 2;
    pub const OPERATORS: u16 = 3;
    pub const NAME: u16 = 4;
}

/// Fields of `Tensor`.
pub(super) mod tensor {
    pub const SHAPE: u16 = 0;
    pub const TYPE: u16 = 1;
    pub const BUFFER: u16 = 2;
    pub const NAME: u16 = 3;
    pub const QUANTISATION: u16 = 4;
    pub const IS_VARIABLE: u16 = 5;
    pub const SPARSITY: u16 = 6;
    pub const SHAPE_SIGNATURE: u16 = 7;
    pub const EXTERNAL_BUFFER: u16 = 10;
}

/// Fields of `QuantizationParameters`.
pub(super) mod quantisation {
    pub const SCALE: u16 = 2;
    pub const ZERO_POINT: u16 = 3;
    pub const DETAILS: u16 = 5;
    pub const AXIS: u16 = 6;
}

/// Fields of `Operator`.
pub(super) mod operator {
    pub const CODE: u16 = 0;
    pub const INPUTS: u16 = 1;
    pub const OUTPUTS: u16 = 2;
    pub const OPTIONS_TYPE: u16 = 3;
    pub const OPTIONS: u16 = 4;
    pub const CUSTOM_OPTIONS: u16 = 5;
    pub const LARGE_OPTIONS_OFFSET: u16 = 9;
}

/// Fields of `Buffer`.
pub(super) mod buffer {
    pub const DATA: u16 = 0;
    pub const OFFSET: u16 = 1;
}

/// Fields of `Metadata`.
pub(super) mod metadata {
    pub const NAME: u16 = 0;
    pub const BUFFER: u16 = 1;
}

/// Fields of `SignatureDef`.
pub(super) mod signature {
    pub const INPUTS: u16 = 0;
    pub const OUTPUTS: u16 = 1;
    pub const KEY: u16 = 2;
    pub const SUBGRAPH: u16 = 4;
}

/// Fields of `TensorMap`.
pub(super) mod tensor_map {
    pub const NAME: u16 = 0;
    pub const TENSOR: u16 = 1;
}

/// Values of `TensorType`, and the bytes of an element; none where that is not a whole number or not fixed.
pub(super) const fn element_bytes(tensor_type: i8) -> Option<usize> {
    match tensor_type {
        // UINT8, BOOL, INT8, FLOAT8_E4M3FN, FLOAT8_E5M2
        3 | 6 | 9 | 21 | 22 => Some(1),
        // FLOAT16, INT16, UINT16, BFLOAT16
        1 | 7 | 16 | 18 => Some(2),
        // FLOAT32, INT32, UINT32
        0 | 2 | 15 => Some(4),
        // INT64, COMPLEX64, FLOAT64, UINT64
        4 | 8 | 10 | 12 => Some(8),
        // COMPLEX128
        11 => Some(16),
        _ => None,
    }
}

/// `TensorType.FLOAT32`
pub(super) const FLOAT32: i8 = 0;
/// `TensorType.INT32`
pub(super) const INT32: i8 = 2;
/// `TensorType.UINT8`
pub(super) const UINT8: i8 = 3;
/// `TensorType.INT8`
pub(super) const INT8: i8 = 9;

/// `BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES`: the largest code of the deprecated field.
pub(super) const LARGEST_DEPRECATED_CODE: i8 = 127;
/// `BuiltinOperator.CUSTOM`
pub(super) const CUSTOM: i32 = 32;
