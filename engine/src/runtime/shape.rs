//! Shapes of all values, from the input on; every mismatch is found here and nowhere later.

use super::error::ModelError;
use super::graph::{ConvAttributes, Graph, Node, Op};

/// Most elements of one value: 256 MiB of `f32`.
pub const MAX_ELEMENTS: usize = 1 << 26;

/// Product of `shape`, if it is at most [`MAX_ELEMENTS`].
pub fn checked_elements(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1usize, |product, &extent| product.checked_mul(extent))
        .filter(|&elements| elements <= MAX_ELEMENTS)
}

/// The shape of every value of `graph` that is reached, `None` for the others.
///
/// # Errors
/// [`ModelError::Node`] at the first node whose inputs do not fit it.
pub fn infer(graph: &Graph) -> Result<Vec<Option<Vec<usize>>>, ModelError> {
    let mut shapes = vec![None; graph.value_count];
    shapes[graph.input] = Some(graph.input_shape.clone());
    for (&value, tensor) in &graph.constants {
        shapes[value] = Some(tensor.shape().to_vec());
    }
    for node in &graph.nodes {
        let inputs: Option<Vec<&[usize]>> =
            node.inputs.iter().map(|&value| shapes[value].as_deref()).collect();
        let shape = node_shape(node, &inputs.ok_or_else(|| node.error("an input has no shape"))?)?;
        if shape.contains(&0) || checked_elements(&shape).is_none() {
            return Err(node.error(format!("its output {shape:?} is empty or above {MAX_ELEMENTS} elements")));
        }
        shapes[node.output] = Some(shape);
    }
    Ok(shapes)
}

fn node_shape(node: &Node, inputs: &[&[usize]]) -> Result<Vec<usize>, ModelError> {
    match (&node.op, inputs) {
        (Op::Conv(conv), [data, weight, rest @ ..]) => {
            conv_shape(node, conv, data, weight, rest.first().copied())
        }
        (Op::Relu | Op::Clip { .. }, [data]) => Ok(data.to_vec()),
        (Op::Add, [a, b]) if a == b => Ok(a.to_vec()),
        (Op::Add, [a, b]) => {
            Err(node.error(format!("adding {a:?} and {b:?}: only equal shapes are supported")))
        }
        (Op::GlobalAveragePool, [data]) => match data {
            [n, c, _, _] => Ok(vec![*n, *c, 1, 1]),
            _ => Err(node.error(format!("expected [N, C, H, W], got {data:?}"))),
        },
        (Op::Flatten, [data]) => match data {
            [n, rest @ ..] => Ok(vec![*n, rest.iter().product()]),
            [] => Err(node.error("expected at least one axis")),
        },
        (Op::Gemm { transpose }, [data, weight, bias]) => {
            let ([n, k], [rows, columns]) = (data, weight) else {
                return Err(node.error(format!("expected matrices, got {data:?} and {weight:?}")));
            };
            let (inner, m) = if *transpose { (columns, rows) } else { (rows, columns) };
            if inner != k || bias != &[*m] {
                return Err(node.error(format!("{data:?} times {weight:?} plus {bias:?} do not fit")));
            }
            Ok(vec![*n, *m])
        }
        _ => Err(node.error(format!("unexpected inputs {inputs:?}"))),
    }
}

fn conv_shape(
    node: &Node,
    conv: &ConvAttributes,
    data: &[usize],
    weight: &[usize],
    bias: Option<&[usize]>,
) -> Result<Vec<usize>, ModelError> {
    let (&[n, channels, h, w], &[cout, cin, kh, kw]) = (data, weight) else {
        return Err(
            node.error(format!("expected [N, C, H, W] and a rank-4 weight, got {data:?} and {weight:?}"))
        );
    };
    if conv.kernel != [0, 0] && conv.kernel != [kh, kw] {
        return Err(node.error(format!("kernel_shape is {:?}, the weight is {weight:?}", conv.kernel)));
    }
    if cin.checked_mul(conv.group) != Some(channels) || cout % conv.group != 0 {
        return Err(node
            .error(format!("weight {weight:?} in {} groups does not fit {channels} channels", conv.group)));
    }
    if bias.is_some_and(|bias| bias != [cout]) {
        return Err(node.error(format!("bias is {bias:?}, expected [{cout}]")));
    }
    let [top, left, bottom, right] = conv.pads;
    let extent = |size: usize, kernel: usize, pads: usize, stride: usize| {
        // A kernel of 0 or one larger than the padded map has no output.
        (size + pads).checked_sub(kernel).filter(|_| kernel > 0).map(|room| room / stride + 1)
    };
    let rows = extent(h, kh, top + bottom, conv.strides[0]);
    let columns = extent(w, kw, left + right, conv.strides[1]);
    match (rows, columns) {
        (Some(rows), Some(columns)) => Ok(vec![n, cout, rows, columns]),
        _ => Err(node.error(format!("kernel {kh} x {kw} is larger than its padded input {h} x {w}"))),
    }
}
