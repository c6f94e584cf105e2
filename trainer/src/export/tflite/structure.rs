//! The tables of a TFLite file and the types of their fields, walked by the `flatbuffers` verifier within limits of depth,
//! number and size.

use super::schema::{self, slot};
use super::verify::MAX_BYTES;
use flatbuffers::{ForwardsUOffset, InvalidFlatbuffer, Vector, Verifiable, Verifier, VerifierOptions};

/// Deepest nesting of tables: a model, its graph, a tensor, its scales.
const MAX_DEPTH: usize = 8;
/// Most tables of a file.
const MAX_TABLES: usize = 1 << 16;
/// Largest size if every table were written as often as it is named.
const MAX_APPARENT_BYTES: usize = 2 * MAX_BYTES;

/// Walks all tables of `file`.
///
/// # Errors
/// Where one lies outside the file, or they nest too deeply or are too many.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    let options = VerifierOptions {
        max_depth: MAX_DEPTH,
        max_tables: MAX_TABLES,
        max_apparent_size: MAX_APPARENT_BYTES,
        ignore_missing_null_terminator: false,
    };
    <ForwardsUOffset<Model>>::run_verifier(&mut Verifier::new(&options, file), 0)
        .map_err(|error| error.to_string())
}

/// A table for the verifier of structure: the types of its fields.
macro_rules! tables {
    ($($name:ident { $($field:path => $kind:ty),* $(,)? })*) => {$(
        struct $name;

        impl Verifiable for $name {
            fn run_verifier(verifier: &mut Verifier, at: usize) -> Result<(), InvalidFlatbuffer> {
                verifier.visit_table(at)?
                    $(.visit_field::<$kind>(stringify!($field), slot($field), false)?)*
                    .finish();
                Ok(())
            }
        }
    )*};
}

type Offset<T> = ForwardsUOffset<T>;
type List<T> = ForwardsUOffset<Vector<'static, T>>;
type Text = ForwardsUOffset<&'static str>;

tables! {
    Model {
        schema::model::VERSION => u32,
        schema::model::OPERATOR_CODES => List<Offset<OperatorCode>>,
        schema::model::SUBGRAPHS => List<Offset<SubGraph>>,
        schema::model::DESCRIPTION => Text,
        schema::model::BUFFERS => List<Offset<Buffer>>,
        schema::model::METADATA_BUFFER => List<i32>,
        schema::model::METADATA => List<Offset<Metadata>>,
        schema::model::SIGNATURES => List<Offset<Signature>>,
    }
    OperatorCode {
        schema::operator_code::DEPRECATED_CODE => i8,
        schema::operator_code::CUSTOM_CODE => Text,
        schema::operator_code::VERSION => i32,
        schema::operator_code::CODE => i32,
    }
    SubGraph {
        schema::subgraph::TENSORS => List<Offset<TensorTable>>,
        schema::subgraph::INPUTS => List<i32>,
        schema::subgraph::OUTPUTS => List<i32>,
        schema::subgraph::OPERATORS => List<Offset<Operator>>,
        schema::subgraph::NAME => Text,
    }
    TensorTable {
        schema::tensor::SHAPE => List<i32>,
        schema::tensor::TYPE => i8,
        schema::tensor::BUFFER => u32,
        schema::tensor::NAME => Text,
        schema::tensor::QUANTISATION => Offset<Quantisation>,
    }
    Quantisation {
        schema::quantisation::SCALE => List<f32>,
        schema::quantisation::ZERO_POINT => List<i64>,
        schema::quantisation::AXIS => i32,
    }
    Operator {
        schema::operator::CODE => u32,
        schema::operator::INPUTS => List<i32>,
        schema::operator::OUTPUTS => List<i32>,
        schema::operator::OPTIONS_TYPE => u8,
        schema::operator::OPTIONS => Offset<Options>,
    }
    Buffer {
        schema::buffer::DATA => List<u8>,
        schema::buffer::OFFSET => u64,
    }
    Metadata {
        schema::metadata::NAME => Text,
        schema::metadata::BUFFER => u32,
    }
    Signature {
        schema::signature::INPUTS => List<Offset<TensorMap>>,
        schema::signature::OUTPUTS => List<Offset<TensorMap>>,
        schema::signature::KEY => Text,
        schema::signature::SUBGRAPH => u32,
    }
    TensorMap {
        schema::tensor_map::NAME => Text,
        schema::tensor_map::TENSOR => u32,
    }
    // Each operator has its own; that it is a table is all that is asked here.
    Options {}
}
