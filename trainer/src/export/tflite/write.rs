//! Network -> bytes of a TFLite file.

use super::model::{Activation, Kind, Network, Operator, Padding, Quantisation, Tensor, Window};
use super::schema::{self, slot};
use flatbuffers::{
    FlatBufferBuilder, ForwardsUOffset, TableFinishedWIPOffset, TableUnfinishedWIPOffset, Vector, WIPOffset,
};
use std::collections::HashMap;

/// Name under which runtimes find the network.
const SIGNATURE: &str = "serving_default";

type Builder = FlatBufferBuilder<'static>;
type Table = WIPOffset<TableFinishedWIPOffset>;
/// Zero points that were written: layers of as many outputs share theirs, which take twice as much as scales.
type ZeroPoints<'a> = HashMap<&'a [i64], WIPOffset<Vector<'static, i64>>>;
type Tables = WIPOffset<Vector<'static, ForwardsUOffset<TableFinishedWIPOffset>>>;

/// The file of `network`.
pub(super) fn write(network: &Network) -> Vec<u8> {
    let file = build(network, 0);
    // Places are counted from the end while a file is built, and from its beginning afterwards. More zeros in between
    // make its length a multiple of the alignment, so that both agree.
    match file.len() % schema::DATA_ALIGNMENT {
        0 => file,
        rest => build(network, schema::DATA_ALIGNMENT - rest),
    }
}

/// The file with `zeros` bytes before its constants.
fn build(network: &Network, zeros: usize) -> Vec<u8> {
    let mut writer = Writer { builder: Builder::new(), buffers: Vec::new(), places: HashMap::new() };
    // The first buffer is empty: that of all values that are no constants.
    writer.buffers.push(empty_table(&mut writer.builder));
    let constants: Vec<u32> = network
        .tensors
        .iter()
        .map(|tensor| tensor.data.as_ref().map_or(0, |data| writer.buffer(data)))
        .collect();
    let texts: Vec<u32> = network.metadata.iter().map(|(_, text)| writer.buffer(text.as_bytes())).collect();
    for _ in 0..zeros {
        writer.builder.push(0_u8);
    }
    writer.finish(network, &constants, &texts)
}

struct Writer<'a> {
    builder: Builder,
    buffers: Vec<Table>,
    /// Which buffer holds such data.
    places: HashMap<&'a [u8], u32>,
}

impl<'a> Writer<'a> {
    /// Index of the buffer that holds `data`.
    fn buffer(&mut self, data: &'a [u8]) -> u32 {
        if let Some(&place) = self.places.get(data) {
            return place;
        }
        let builder = &mut self.builder;
        let end = builder.unfinished_data().len() + data.len();
        for _ in end..end.next_multiple_of(schema::DATA_ALIGNMENT) {
            builder.push(0_u8);
        }
        let content = builder.create_vector(data);
        let table = builder.start_table();
        builder.push_slot_always(slot(schema::buffer::DATA), content);
        self.buffers.push(builder.end_table(table));
        let place = (self.buffers.len() - 1) as u32;
        self.places.insert(data, place);
        place
    }

    fn finish(self, network: &Network, constants: &[u32], texts: &[u32]) -> Vec<u8> {
        let Writer { mut builder, buffers, .. } = self;
        let b = &mut builder;
        let mut zero_points = ZeroPoints::new();
        let tensors: Vec<Table> = network
            .tensors
            .iter()
            .zip(constants)
            .map(|(tensor, buffer)| write_tensor(b, tensor, *buffer, &mut zero_points))
            .collect();
        let mut codes: Vec<(i32, i32)> = Vec::new();
        let operators: Vec<Table> = network
            .operators
            .iter()
            .map(|operator| {
                let inputs: Vec<&Tensor> =
                    operator.inputs.iter().map(|&input| &network.tensors[input]).collect();
                let code = (operator.kind.code(), operator.kind.version(&inputs));
                let index = codes.iter().position(|other| *other == code).unwrap_or_else(|| {
                    codes.push(code);
                    codes.len() - 1
                });
                write_operator(b, operator, index as u32)
            })
            .collect();
        let codes: Vec<Table> = codes.into_iter().map(|code| write_code(b, code)).collect();
        let subgraph = write_subgraph(b, network, &tensors, &operators);
        let metadata: Vec<Table> = network
            .metadata
            .iter()
            .zip(texts)
            .map(|((name, _), buffer)| write_metadata(b, name, *buffer))
            .collect();
        let signature = write_signature(b, network);

        let codes = b.create_vector(&codes);
        let subgraphs = b.create_vector(&[subgraph]);
        let description = b.create_string(&network.description);
        let buffers = b.create_vector(&buffers);
        let metadata = b.create_vector(&metadata);
        let signatures = b.create_vector(&[signature]);
        let root = table(b, |b| {
            b.push_slot_always(slot(schema::model::VERSION), schema::VERSION);
            b.push_slot_always(slot(schema::model::OPERATOR_CODES), codes);
            b.push_slot_always(slot(schema::model::SUBGRAPHS), subgraphs);
            b.push_slot_always(slot(schema::model::DESCRIPTION), description);
            b.push_slot_always(slot(schema::model::BUFFERS), buffers);
            b.push_slot_always(slot(schema::model::METADATA), metadata);
            b.push_slot_always(slot(schema::model::SIGNATURES), signatures);
        });
        b.finish(root, Some(schema::IDENTIFIER));
        builder.finished_data().to_vec()
    }
}

/// A table whose fields `fill` pushes.
fn table(builder: &mut Builder, fill: impl FnOnce(&mut Builder)) -> Table {
    let start: WIPOffset<TableUnfinishedWIPOffset> = builder.start_table();
    fill(builder);
    builder.end_table(start)
}

fn empty_table(builder: &mut Builder) -> Table {
    table(builder, |_| ())
}

fn indices(builder: &mut Builder, indices: &[usize]) -> WIPOffset<Vector<'static, i32>> {
    let indices: Vec<i32> = indices.iter().map(|&index| index as i32).collect();
    builder.create_vector(&indices)
}

fn write_tensor<'a>(
    b: &mut Builder,
    tensor: &'a Tensor,
    buffer: u32,
    zero_points: &mut ZeroPoints<'a>,
) -> Table {
    let shape = indices(b, &tensor.shape);
    let name = b.create_string(&tensor.name);
    let quantisation =
        tensor.quantisation.as_ref().map(|quantisation| write_quantisation(b, quantisation, zero_points));
    table(b, |b| {
        b.push_slot_always(slot(schema::tensor::SHAPE), shape);
        b.push_slot(slot(schema::tensor::TYPE), tensor.element.code(), schema::FLOAT32);
        b.push_slot(slot(schema::tensor::BUFFER), buffer, 0);
        b.push_slot_always(slot(schema::tensor::NAME), name);
        if let Some(quantisation) = quantisation {
            b.push_slot_always(slot(schema::tensor::QUANTISATION), quantisation);
        }
    })
}

fn write_quantisation<'a>(
    b: &mut Builder,
    quantisation: &'a Quantisation,
    zero_points: &mut ZeroPoints<'a>,
) -> Table {
    let scales = b.create_vector(&quantisation.scales);
    let values = quantisation.zero_points.as_slice();
    let zero_points = *zero_points.entry(values).or_insert_with(|| b.create_vector(values));
    table(b, |b| {
        b.push_slot_always(slot(schema::quantisation::SCALE), scales);
        b.push_slot_always(slot(schema::quantisation::ZERO_POINT), zero_points);
        b.push_slot(slot(schema::quantisation::AXIS), quantisation.axis as i32, 0);
    })
}

fn write_code(b: &mut Builder, (code, version): (i32, i32)) -> Table {
    // Readers from before the wider field look at the byte.
    let byte = i8::try_from(code).unwrap_or(schema::LARGEST_DEPRECATED_CODE);
    table(b, |b| {
        b.push_slot(slot(schema::operator_code::DEPRECATED_CODE), byte, 0);
        b.push_slot(slot(schema::operator_code::VERSION), version, 1);
        b.push_slot(slot(schema::operator_code::CODE), code, 0);
    })
}

fn write_subgraph(b: &mut Builder, network: &Network, tensors: &[Table], operators: &[Table]) -> Table {
    let tensors: Tables = b.create_vector(tensors);
    let inputs = indices(b, &[network.input]);
    let outputs = indices(b, &[network.output]);
    let operators: Tables = b.create_vector(operators);
    let name = b.create_string("main");
    table(b, |b| {
        b.push_slot_always(slot(schema::subgraph::TENSORS), tensors);
        b.push_slot_always(slot(schema::subgraph::INPUTS), inputs);
        b.push_slot_always(slot(schema::subgraph::OUTPUTS), outputs);
        b.push_slot_always(slot(schema::subgraph::OPERATORS), operators);
        b.push_slot_always(slot(schema::subgraph::NAME), name);
    })
}

fn write_metadata(b: &mut Builder, name: &str, buffer: u32) -> Table {
    let name = b.create_string(name);
    table(b, |b| {
        b.push_slot_always(slot(schema::metadata::NAME), name);
        b.push_slot(slot(schema::metadata::BUFFER), buffer, 0);
    })
}

fn write_signature(b: &mut Builder, network: &Network) -> Table {
    let [inputs, outputs] = [network.input, network.output].map(|tensor| {
        let name = b.create_string(&network.tensors[tensor].name);
        let entry = table(b, |b| {
            b.push_slot_always(slot(schema::tensor_map::NAME), name);
            b.push_slot(slot(schema::tensor_map::TENSOR), tensor as u32, 0);
        });
        b.create_vector(&[entry])
    });
    let key = b.create_string(SIGNATURE);
    table(b, |b| {
        b.push_slot_always(slot(schema::signature::INPUTS), inputs);
        b.push_slot_always(slot(schema::signature::OUTPUTS), outputs);
        b.push_slot_always(slot(schema::signature::KEY), key);
    })
}

fn write_operator(b: &mut Builder, operator: &Operator, code: u32) -> Table {
    let inputs = indices(b, &operator.inputs);
    let outputs = indices(b, &[operator.output]);
    let (options_type, options) = write_options(b, operator.kind);
    table(b, |b| {
        b.push_slot(slot(schema::operator::CODE), code, 0);
        b.push_slot_always(slot(schema::operator::INPUTS), inputs);
        b.push_slot_always(slot(schema::operator::OUTPUTS), outputs);
        if options_type != 0 {
            b.push_slot_always(slot(schema::operator::OPTIONS_TYPE), options_type);
            b.push_slot_always(slot(schema::operator::OPTIONS), options);
        }
    })
}

/// The member of `BuiltinOptions` and its table.
fn write_options(b: &mut Builder, kind: Kind) -> (u8, Table) {
    // Fields of the tables are numbered as in the schema.
    match kind {
        Kind::Conv(window) => {
            let options = table(b, |b| {
                push_window(b, window);
                push_activation(b, 3, window.activation);
            });
            (1, options)
        }
        Kind::DepthwiseConv { window, multiplier } => {
            let options = table(b, |b| {
                push_window(b, window);
                b.push_slot(slot(3), multiplier as i32, 0);
                push_activation(b, 4, window.activation);
            });
            (2, options)
        }
        Kind::FullyConnected(activation) => (8, table(b, |b| push_activation(b, 0, activation))),
        Kind::Softmax => (9, table(b, |b| b.push_slot(slot(0), 1.0_f32, 0.0))),
        Kind::Concatenation { axis } => (10, table(b, |b| b.push_slot(slot(0), axis as i32, 0))),
        Kind::Add => (11, empty_table(b)),
        // The new shape is the second input.
        Kind::Reshape => (17, empty_table(b)),
        Kind::Mul => (21, empty_table(b)),
        Kind::Pad => (22, empty_table(b)),
        Kind::Transpose => (26, empty_table(b)),
        // Reduced axes are kept.
        Kind::Mean => (27, table(b, |b| b.push_slot(slot(0), true, false))),
        Kind::Dequantise => (38, empty_table(b)),
        Kind::TransposeConv(window) => {
            let options = table(b, |b| {
                push_window(b, window);
                push_activation(b, 3, window.activation);
            });
            (49, options)
        }
        Kind::Quantise => (89, empty_table(b)),
        Kind::BatchMatMul => (101, empty_table(b)),
        Kind::Logistic | Kind::Relu | Kind::Relu6 => (0, WIPOffset::new(0)),
    }
}

/// Fields 0 to 2 of convolutions: padding, stride to the right, stride down.
fn push_window(b: &mut Builder, window: Window) {
    let padding = match window.padding {
        Padding::Same => 0_i8,
        Padding::Valid => 1,
    };
    let [down, right] = window.strides.map(|stride| stride as i32);
    b.push_slot(slot(0), padding, 0);
    b.push_slot(slot(1), right, 0);
    b.push_slot(slot(2), down, 0);
}

/// A field of the type `ActivationFunctionType`.
fn push_activation(b: &mut Builder, number: u16, activation: Activation) {
    let value = match activation {
        Activation::None => 0_i8,
        Activation::Relu => 1,
        Activation::Relu6 => 3,
    };
    b.push_slot(slot(number), value, 0);
}
