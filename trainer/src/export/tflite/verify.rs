//! Whether a TFLite file is what it says, before anything runs it: structure, indices, lengths, scales.
//!
//! The tables are walked first ([`super::structure`]); what they mean is read with every place checked again.

use super::reader::{Outside, Table};
use super::schema;
use super::structure;

/// Largest file.
pub const MAX_BYTES: usize = 256 << 20;

/// Why a TFLite file is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VerifyError {
    /// It is larger than [`MAX_BYTES`].
    #[error("the file has {0} bytes, expected at most {MAX_BYTES}")]
    TooLarge(usize),
    /// It is no TFLite file.
    #[error("the file does not say TFL3 at its fifth byte")]
    Identifier,
    /// Its tables lie outside it, nest too deeply, or are too many.
    #[error("broken structure: {0}")]
    Structure(String),
    /// It has another form than the one that is known.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// A number names something that is not there.
    #[error("{what} is {index}, but there are {count}")]
    Index {
        /// What names.
        what: String,
        /// The number.
        index: i64,
        /// How many there are.
        count: usize,
    },
    /// A constant is shorter or longer than its shape says.
    #[error("tensor {tensor} holds {actual} bytes, its shape says {expected}")]
    Length {
        /// The tensor.
        tensor: String,
        /// Bytes by shape and type.
        expected: u64,
        /// Bytes in its buffer.
        actual: usize,
    },
    /// Scales or zero points do not fit their tensor.
    #[error("tensor {tensor}: {detail}")]
    Quantisation {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        detail: String,
    },
    /// An operator reads what nothing before it makes.
    #[error("operator {operator} reads tensor {tensor}, which nothing before it makes")]
    Order {
        /// The operator's place.
        operator: usize,
        /// The tensor.
        tensor: String,
    },
}

impl From<Outside> for VerifyError {
    fn from(_: Outside) -> Self {
        VerifyError::Structure("an offset leads out of the file".into())
    }
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Number of tensors.
    pub tensors: usize,
    /// Codes of the operators, as in `BuiltinOperator`, in the order in which they run.
    pub operators: Vec<i32>,
    /// Bytes of all constants.
    pub constant_bytes: usize,
    /// Shapes of the inputs.
    pub inputs: Vec<Vec<usize>>,
    /// Shapes of the outputs.
    pub outputs: Vec<Vec<usize>>,
    /// Names and texts.
    pub metadata: Vec<(String, String)>,
}

/// What the TFLite file `file` holds, if it is whole: one graph of built-in operators, constants inside it.
///
/// # Errors
/// The first fault that is found.
pub fn verify(file: &[u8]) -> Result<Summary, VerifyError> {
    if file.len() > MAX_BYTES {
        return Err(VerifyError::TooLarge(file.len()));
    }
    if file.get(4..8) != Some(schema::IDENTIFIER.as_bytes()) {
        return Err(VerifyError::Identifier);
    }
    structure::check(file).map_err(VerifyError::Structure)?;
    let model = Table::root(file)?;
    let version = model.index(schema::model::VERSION)?;
    if version != schema::VERSION as usize {
        return Err(unsupported(format!("schema version {version}")));
    }
    if model.has(schema::model::EXTERNAL_BUFFERS)? {
        return Err(unsupported("a constant in another file"));
    }
    let buffers = buffers(&model)?;
    let codes = codes(&model)?;
    let graphs = model.tables(schema::model::SUBGRAPHS)?;
    let [graph] = &graphs[..] else {
        return Err(unsupported(format!("{} graphs in one file", graphs.len())));
    };
    let tensors: Vec<Tensor> = graph
        .tables(schema::subgraph::TENSORS)?
        .iter()
        .enumerate()
        .map(|(number, table)| Tensor::read(number, table, &buffers))
        .collect::<Result<_, _>>()?;
    let ends = |what: &str, number| {
        let indices = graph.integers(number)?;
        indices
            .into_iter()
            .map(|index| within(what, i64::from(index), tensors.len()))
            .collect::<Result<Vec<_>, _>>()
    };
    let inputs = ends("an input of the graph", schema::subgraph::INPUTS)?;
    let outputs = ends("an output of the graph", schema::subgraph::OUTPUTS)?;
    let operators = operators(graph, &codes, &tensors, &inputs, &outputs)?;
    let shapes =
        |indices: Vec<usize>| indices.into_iter().map(|index| tensors[index].shape.clone()).collect();
    check_signatures(&model, tensors.len())?;
    Ok(Summary {
        tensors: tensors.len(),
        operators,
        constant_bytes: buffers.iter().map(|buffer| buffer.len()).sum(),
        metadata: metadata(&model, &buffers)?,
        inputs: shapes(inputs),
        outputs: shapes(outputs),
    })
}

/// The content of each buffer.
fn buffers<'a>(model: &Table<'a>) -> Result<Vec<&'a [u8]>, VerifyError> {
    let content = |table: Table<'a>| {
        if table.long(schema::buffer::OFFSET)? > 1 {
            return Err(unsupported("a constant behind the tables"));
        }
        Ok(table.bytes(schema::buffer::DATA)?)
    };
    let buffers =
        model.tables(schema::model::BUFFERS)?.into_iter().map(content).collect::<Result<Vec<_>, _>>()?;
    match buffers.first() {
        Some([]) => Ok(buffers),
        Some(_) => Err(unsupported("a first buffer with content")),
        None => Err(VerifyError::Structure("there is no buffer".into())),
    }
}

/// Which operators the graph may name.
fn codes(model: &Table) -> Result<Vec<i32>, VerifyError> {
    let read = |table: Table| {
        let code = table.integer(schema::operator_code::CODE, 0)?;
        // Older files have the smaller field alone.
        let code = code.max(i32::from(table.byte(schema::operator_code::DEPRECATED_CODE, 0)?));
        if code == schema::CUSTOM || table.has(schema::operator_code::CUSTOM_CODE)? {
            return Err(unsupported("an operator that is not built in"));
        }
        Ok(code)
    };
    model.tables(schema::model::OPERATOR_CODES)?.into_iter().map(read).collect()
}

struct Tensor {
    name: String,
    shape: Vec<usize>,
    is_constant: bool,
}

impl Tensor {
    fn read(number: usize, table: &Table, buffers: &[&[u8]]) -> Result<Self, VerifyError> {
        let name = format!("{number} ({})", String::from_utf8_lossy(table.bytes(schema::tensor::NAME)?));
        let extents = table.integers(schema::tensor::SHAPE)?;
        let shape: Option<Vec<usize>> = extents.iter().map(|&extent| usize::try_from(extent).ok()).collect();
        let shape = shape.ok_or_else(|| unsupported(format!("shape {extents:?} of tensor {name}")))?;
        let tensor_type = table.byte(schema::tensor::TYPE, 0)?;
        let size = schema::element_bytes(tensor_type)
            .ok_or_else(|| unsupported(format!("element type {tensor_type} of tensor {name}")))?;
        let is_special = table.byte(schema::tensor::IS_VARIABLE, 0)? != 0
            || table.has(schema::tensor::SPARSITY)?
            || table.has(schema::tensor::SHAPE_SIGNATURE)?
            || table.has(schema::tensor::EXTERNAL_BUFFER)?;
        if is_special {
            return Err(unsupported(format!("tensor {name} of variable values or shape")));
        }
        let index = table.index(schema::tensor::BUFFER)?;
        let buffer = within(format!("the buffer of tensor {name}"), index as i64, buffers.len())?;
        let content = buffers[buffer];
        let expected = shape.iter().try_fold(size as u64, |bytes, &extent| bytes.checked_mul(extent as u64));
        let expected = expected.ok_or_else(|| unsupported(format!("shape {shape:?} of tensor {name}")))?;
        if !content.is_empty() && content.len() as u64 != expected {
            return Err(VerifyError::Length { tensor: name, expected, actual: content.len() });
        }
        if let Some(scales) = table.table(schema::tensor::QUANTISATION)? {
            check_scales(&scales, &shape, tensor_type).map_err(|fault| fault.of(&name))?;
        }
        Ok(Tensor { name, shape, is_constant: !content.is_empty() })
    }
}

/// A fault of scales, whose tensor is not known yet.
enum ScaleFault {
    Outside(Outside),
    Detail(String),
}

impl ScaleFault {
    fn of(self, tensor: &str) -> VerifyError {
        match self {
            ScaleFault::Outside(outside) => outside.into(),
            ScaleFault::Detail(detail) => VerifyError::Quantisation { tensor: tensor.into(), detail },
        }
    }
}

impl From<Outside> for ScaleFault {
    fn from(outside: Outside) -> Self {
        ScaleFault::Outside(outside)
    }
}

fn check_scales(table: &Table, shape: &[usize], tensor_type: i8) -> Result<(), ScaleFault> {
    let fault = |detail: String| Err(ScaleFault::Detail(detail));
    if table.has(schema::quantisation::DETAILS)? {
        return fault("its scales are of a form of their own".into());
    }
    let scales = table.floats(schema::quantisation::SCALE)?;
    let zero_points = table.longs(schema::quantisation::ZERO_POINT)?;
    if scales.len() != zero_points.len() {
        return fault(format!("{} scales and {} zero points", scales.len(), zero_points.len()));
    }
    let axis = table.integer(schema::quantisation::AXIS, 0)?;
    let extent = usize::try_from(axis).ok().and_then(|axis| shape.get(axis).copied());
    if scales.len() > 1 && extent != Some(scales.len()) {
        return fault(format!("{} scales along axis {axis} of {shape:?}", scales.len()));
    }
    if let Some(scale) = scales.iter().find(|scale| !scale.is_finite() || **scale <= 0.0) {
        return fault(format!("its scale is {scale}"));
    }
    let range = match tensor_type {
        schema::INT8 => -128..=127,
        schema::UINT8 => 0..=255,
        schema::INT32 => 0..=0,
        _ => i64::MIN..=i64::MAX,
    };
    match zero_points.iter().find(|zero_point| !range.contains(zero_point)) {
        Some(zero_point) => fault(format!("its zero point is {zero_point}, expected {range:?}")),
        None => Ok(()),
    }
}

/// Codes of the operators, each of which reads what is there already.
fn operators(
    graph: &Table,
    codes: &[i32],
    tensors: &[Tensor],
    inputs: &[usize],
    outputs: &[usize],
) -> Result<Vec<i32>, VerifyError> {
    let mut is_made: Vec<bool> = tensors.iter().map(|tensor| tensor.is_constant).collect();
    inputs.iter().for_each(|&input| is_made[input] = true);
    let order =
        |operator, tensor: usize| VerifyError::Order { operator, tensor: tensors[tensor].name.clone() };
    let mut found = Vec::new();
    let tables = graph.tables(schema::subgraph::OPERATORS)?;
    for (number, table) in tables.iter().enumerate() {
        let what = |part: &str| format!("{part} of operator {number}");
        let code = table.index(schema::operator::CODE)?;
        found.push(codes[within(what("the code"), code as i64, codes.len())?]);
        if table.has(schema::operator::CUSTOM_OPTIONS)?
            || table.long(schema::operator::LARGE_OPTIONS_OFFSET)? > 0
        {
            return Err(unsupported(what("an option that is not built in")));
        }
        for index in table.integers(schema::operator::INPUTS)? {
            // An input that is left out.
            if index == -1 {
                continue;
            }
            let input = within(what("an input"), i64::from(index), tensors.len())?;
            if !is_made[input] {
                return Err(order(number, input));
            }
        }
        for index in table.integers(schema::operator::OUTPUTS)? {
            is_made[within(what("an output"), i64::from(index), tensors.len())?] = true;
        }
    }
    match outputs.iter().find(|&&output| !is_made[output]) {
        Some(&output) => Err(order(tables.len(), output)),
        None => Ok(found),
    }
}

fn metadata(model: &Table, buffers: &[&[u8]]) -> Result<Vec<(String, String)>, VerifyError> {
    let older = model.integers(schema::model::METADATA_BUFFER)?;
    for index in older {
        within("a buffer of metadata", i64::from(index), buffers.len())?;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let read = |table: &Table| {
        let index = table.index(schema::metadata::BUFFER)?;
        let buffer = within("a buffer of metadata", index as i64, buffers.len())?;
        Ok((text(table.bytes(schema::metadata::NAME)?), text(buffers[buffer])))
    };
    model.tables(schema::model::METADATA)?.iter().map(read).collect()
}

fn check_signatures(model: &Table, tensors: usize) -> Result<(), VerifyError> {
    for signature in model.tables(schema::model::SIGNATURES)? {
        within("the graph of a signature", signature.index(schema::signature::SUBGRAPH)? as i64, 1)?;
        for ends in [schema::signature::INPUTS, schema::signature::OUTPUTS] {
            for end in signature.tables(ends)? {
                within("a tensor of a signature", end.index(schema::tensor_map::TENSOR)? as i64, tensors)?;
            }
        }
    }
    Ok(())
}

/// `index`, if there are more than so many.
fn within(what: impl Into<String>, index: i64, count: usize) -> Result<usize, VerifyError> {
    let found = usize::try_from(index).ok().filter(|&index| index < count);
    found.ok_or_else(|| VerifyError::Index { what: what.into(), index, count })
}

fn unsupported(what: impl Into<String>) -> VerifyError {
    VerifyError::Unsupported(what.into())
}
