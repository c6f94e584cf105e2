//! Shapes and element types of all values, from the inputs on; every mismatch is found here and nowhere later.

use super::constant::{Kind, Quantisation};
use super::error::ModelError;
use super::graph::{
    ConvAttributes, Coordinates, Graph, Node, Op, PoolAttributes, Reshape, Resize, ResizeTarget, SliceAxis,
};
use super::trees::TreeEnsemble;

/// Most elements of one value: 256 MiB of `f32`.
pub const MAX_ELEMENTS: usize = 1 << 26;
/// Most axes of a value.
pub const MAX_RANK: usize = 8;

/// Product of `shape`, if it is at most [`MAX_ELEMENTS`].
pub fn checked_elements(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1usize, |product, &extent| product.checked_mul(extent))
        .filter(|&elements| elements <= MAX_ELEMENTS)
}

/// Shape and element type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Extent of each axis, as ONNX has them.
    pub shape: Vec<usize>,
    /// Element type.
    pub kind: Kind,
}

/// Shape and type of every value of `graph` that is reached, `None` for the others.
///
/// # Errors
/// [`ModelError::Node`] at the first node whose inputs do not fit it.
pub fn infer(graph: &Graph) -> Result<Vec<Option<Info>>, ModelError> {
    let mut infos: Vec<Option<Info>> = vec![None; graph.value_count];
    for input in &graph.inputs {
        infos[input.value] = Some(Info { shape: input.shape.clone(), kind: Kind::F32 });
    }
    for (&value, constant) in &graph.constants {
        infos[value] = Some(Info { shape: constant.shape.clone(), kind: constant.kind() });
    }
    for node in &graph.nodes {
        let inputs: Option<Vec<&Info>> = node.inputs.iter().map(|&value| infos[value].as_ref()).collect();
        let info = node_info(graph, node, &inputs.ok_or_else(|| node.error("an input has no shape"))?)?;
        if info.shape.contains(&0) || checked_elements(&info.shape).is_none() || info.shape.len() > MAX_RANK {
            return Err(node.error(format!(
                "its output {:?} is empty, above {MAX_ELEMENTS} elements or above {MAX_RANK} axes",
                info.shape
            )));
        }
        infos[node.output] = Some(info);
    }
    Ok(infos)
}

fn node_info(graph: &Graph, node: &Node, inputs: &[&Info]) -> Result<Info, ModelError> {
    if let (Op::Quantize(axis) | Op::Dequantize(axis), [data, ..]) = (&node.op, inputs) {
        return quantised_info(graph, node, *axis, data);
    }
    let is_move = matches!(
        node.op,
        Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Split { .. } | Op::Concat(_) | Op::Unary(_)
    ) || matches!(node.op, Op::Pool(_));
    let kind = inputs.first().map_or(Kind::F32, |data| data.kind);
    // Quantised maps are moved and compared as they are; everything else is computed in floats.
    let is_fitting =
        if is_move { [Kind::F32, Kind::U8, Kind::I8].contains(&kind) } else { kind == Kind::F32 };
    if !is_fitting || inputs.iter().any(|input| input.kind != kind) {
        let kinds: Vec<Kind> = inputs.iter().map(|input| input.kind).collect();
        return Err(node.error(format!("inputs of the types {kinds:?} are not supported")));
    }
    let shapes: Vec<&[usize]> = inputs.iter().map(|input| &input.shape[..]).collect();
    Ok(Info { shape: node_shape(node, &shapes)?, kind })
}

/// Scale and zero point of a `QuantizeLinear` or `DequantizeLinear` whose data has `shape`.
///
/// # Errors
/// [`ModelError::Node`] if they are no constants or do not fit.
pub fn quantisation(
    graph: &Graph,
    node: &Node,
    axis: i64,
    shape: &[usize],
) -> Result<Quantisation, ModelError> {
    let constant = |index: usize| node.inputs.get(index).map(|value| graph.constants.get(value));
    let Some(Some(scale)) = constant(1) else { return Err(node.error("its scale must be a constant")) };
    let zero_point = match constant(2) {
        Some(None) => return Err(node.error("its zero point must be a constant")),
        given => given.flatten(),
    };
    // For scalars the axis means nothing.
    let axis = if scale.elements() == 1 { 0 } else { axis_of(node, axis, shape.len())? };
    Quantisation::new(scale, zero_point, axis, shape).map_err(|detail| node.error(detail))
}

fn quantised_info(graph: &Graph, node: &Node, axis: i64, data: &Info) -> Result<Info, ModelError> {
    let parameters = quantisation(graph, node, axis, &data.shape)?;
    let zero_kind = node.inputs.get(2).and_then(|value| graph.constants.get(value)).map(|zero| zero.kind());
    let kind = match node.op {
        Op::Quantize(_) => {
            let kind = zero_kind.unwrap_or(Kind::U8);
            if data.kind != Kind::F32
                || ![Kind::U8, Kind::I8].contains(&kind)
                || parameters.of_all().is_none()
            {
                return Err(node.error("only floats to bytes with one scale are supported"));
            }
            kind
        }
        _ => {
            if ![Kind::U8, Kind::I8, Kind::I32].contains(&data.kind)
                || zero_kind.is_some_and(|k| k != data.kind)
            {
                return Err(
                    node.error(format!("{:?} with a zero point {zero_kind:?} is not supported", data.kind))
                );
            }
            Kind::F32
        }
    };
    Ok(Info { shape: data.shape.clone(), kind })
}

/// `axis` of `rank` axes, counted from the start.
///
/// # Errors
/// [`ModelError::Node`] if there is no such axis.
pub fn axis_of(node: &Node, axis: i64, rank: usize) -> Result<usize, ModelError> {
    let counted = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    let found = counted.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank);
    found.ok_or_else(|| node.error(format!("axis {axis} of {rank} axes does not exist")))
}

fn node_shape(node: &Node, inputs: &[&[usize]]) -> Result<Vec<usize>, ModelError> {
    match (&node.op, inputs) {
        (Op::Conv(conv), [data, weight, rest @ ..]) => {
            conv_shape(node, conv, data, weight, rest.first().copied())
        }
        (Op::ConvTranspose { conv, output_padding }, [data, weight, rest @ ..]) => {
            transposed_shape(node, conv, *output_padding, data, weight, rest.first().copied())
        }
        (Op::Gemm { transpose }, [data, weight, rest @ ..]) => {
            let ([n, k], [rows, columns]) = (data, weight) else {
                return Err(node.error(format!("expected matrices, got {data:?} and {weight:?}")));
            };
            let (inner, m) = if *transpose { (columns, rows) } else { (rows, columns) };
            let is_bias = |shape: &[usize]| {
                matches!(shape, [] | [_] | [1, _]) && {
                    let columns = shape.last().copied().unwrap_or(1);
                    columns == 1 || columns == *m
                }
            };
            if inner != k || !rest.iter().all(|bias| is_bias(bias)) {
                return Err(node.error(format!("{data:?} times {weight:?} plus {rest:?} do not fit")));
            }
            Ok(vec![*n, *m])
        }
        (Op::MatMul, [a, b]) => {
            let ([front_a @ .., m, k], [front_b @ .., inner, n]) = (a, b) else {
                return Err(node.error(format!("expected matrices, got {a:?} and {b:?}")));
            };
            if k != inner {
                return Err(node.error(format!("{a:?} times {b:?} do not fit")));
            }
            Ok([broadcast(node, front_a, front_b)?, vec![*m, *n]].concat())
        }
        (Op::Unary(_) | Op::Softmax { .. }, [data]) => {
            if let Op::Softmax { axis, .. } = node.op {
                axis_of(node, axis, data.len())?;
            }
            Ok(data.to_vec())
        }
        (Op::Binary(_), [a, b]) => broadcast(node, a, b),
        (Op::Pool(pool), [data]) => pool_shape(node, pool, data),
        (Op::GlobalAveragePool, [data]) => match data {
            [n, c, _, _] => Ok(vec![*n, *c, 1, 1]),
            _ => Err(node.error(format!("expected [N, C, H, W], got {data:?}"))),
        },
        (Op::Resize(resize), [data]) => resize_shape(node, resize, data),
        (Op::Reshape(target), [data]) => reshaped(node, target, data),
        (Op::Transpose(order), [data]) => {
            let order = transposition(node, order, data.len())?;
            Ok(order.iter().map(|&axis| data[axis]).collect())
        }
        (Op::Slice(parts), [data]) => {
            let mut shape = data.to_vec();
            for part in parts {
                let axis = axis_of(node, part.axis, data.len())?;
                shape[axis] = part.range(shape[axis]).1;
            }
            Ok(shape)
        }
        (Op::Split { .. }, [data]) => {
            let (axis, _, length) = split_range(node, data)?;
            let mut shape = data.to_vec();
            shape[axis] = length;
            Ok(shape)
        }
        (Op::Concat(axis), [first, ..]) => {
            let axis = axis_of(node, *axis, first.len())?;
            let mut shape = first.to_vec();
            shape[axis] = 0;
            for input in inputs {
                let fits =
                    input.len() == shape.len() && (0..shape.len()).all(|i| i == axis || input[i] == shape[i]);
                if !fits {
                    return Err(node.error(format!("{first:?} and {input:?} do not fit along axis {axis}")));
                }
                shape[axis] = shape[axis].saturating_add(input[axis]);
            }
            Ok(shape)
        }
        (Op::Pad { pads, .. }, [data]) => {
            if pads.len() != 2 * data.len() {
                return Err(node.error(format!("{} pads for {data:?}", pads.len())));
            }
            let extent = |i: usize| data[i].saturating_add(pads[i]).saturating_add(pads[data.len() + i]);
            Ok((0..data.len()).map(extent).collect())
        }
        (Op::ReduceMean { axes, keep }, [data]) => {
            let axes = reduced_axes(node, axes, data.len())?;
            let extents = (0..data.len()).filter_map(|i| match axes.contains(&i) {
                false => Some(data[i]),
                true => keep.then_some(1),
            });
            Ok(extents.collect())
        }
        (Op::LayerNorm { axis, .. }, [data, rest @ ..]) => {
            let axis = axis_of(node, *axis, data.len())?;
            if rest.iter().any(|constant| *constant != &data[axis..]) {
                return Err(node.error(format!("its constants {rest:?} are not {:?}", &data[axis..])));
            }
            Ok(data.to_vec())
        }
        (Op::BatchNorm { .. }, [data, rest @ ..]) => match data {
            [_, c, ..] if rest.iter().all(|constant| *constant == [*c]) => Ok(data.to_vec()),
            _ => Err(node.error(format!("its constants {rest:?} do not fit {data:?}"))),
        },
        (Op::Trees(trees), [data]) => match data {
            [n, columns] if *columns >= trees.features() => Ok(vec![*n, TreeEnsemble::CLASSES]),
            _ => Err(node.error(format!("expected [N, {}] features, got {data:?}", trees.features()))),
        },
        _ => Err(node.error(format!("unexpected inputs {inputs:?}"))),
    }
}

/// The shape that `a` and `b` broadcast to.
fn broadcast(node: &Node, a: &[usize], b: &[usize]) -> Result<Vec<usize>, ModelError> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|i| match (extent(a, i), extent(b, i)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(node.error(format!("{a:?} and {b:?} do not fit each other"))),
        })
        .collect()
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
    let (input, kernel) = ([h, w], [kh, kw]);
    let pads = conv.pads(input, kernel);
    let [rows, columns] = windows(node, input, conv.extent(kernel), conv.strides, pads)?;
    Ok(vec![n, cout, rows, columns])
}

/// How many windows there are down and right.
fn windows(
    node: &Node,
    input: [usize; 2],
    kernel: [usize; 2],
    strides: [usize; 2],
    [top, left, bottom, right]: [usize; 4],
) -> Result<[usize; 2], ModelError> {
    let extent = |axis: usize, pads: usize| {
        // A kernel of 0 or one larger than the padded map has no output.
        let room = (input[axis] + pads).checked_sub(kernel[axis]).filter(|_| kernel[axis] > 0);
        room.map(|room| room / strides[axis] + 1)
    };
    match (extent(0, top + bottom), extent(1, left + right)) {
        (Some(rows), Some(columns)) => Ok([rows, columns]),
        _ => {
            let ([kh, kw], [h, w]) = (kernel, input);
            Err(node.error(format!("kernel {kh} x {kw} is larger than its padded input {h} x {w}")))
        }
    }
}

fn transposed_shape(
    node: &Node,
    conv: &ConvAttributes,
    output_padding: [usize; 2],
    data: &[usize],
    weight: &[usize],
    bias: Option<&[usize]>,
) -> Result<Vec<usize>, ModelError> {
    let (&[n, channels, h, w], &[cin, cout, kh, kw]) = (data, weight) else {
        return Err(node.error(format!("expected maps and a rank-4 weight, got {data:?} and {weight:?}")));
    };
    if conv.group != 1 || cin != channels || (conv.kernel != [0, 0] && conv.kernel != [kh, kw]) {
        return Err(node.error(format!("weight {weight:?} in {} groups does not fit {data:?}", conv.group)));
    }
    if bias.is_some_and(|bias| bias != [cout]) || kh == 0 || kw == 0 {
        return Err(node.error(format!("weight {weight:?} and bias {bias:?} do not fit")));
    }
    let all_pads = conv.pads([h, w], [kh, kw]);
    let extent = |input: usize, axis: usize, kernel: usize| {
        let pads = all_pads[axis] + all_pads[axis + 2];
        let full = (input - 1).checked_mul(conv.strides[axis])?.checked_add(kernel + output_padding[axis])?;
        full.checked_sub(pads)
    };
    match (extent(h, 0, kh), extent(w, 1, kw)) {
        (Some(rows), Some(columns)) => Ok(vec![n, cout, rows, columns]),
        _ => Err(node.error("its output has no size")),
    }
}

fn pool_shape(node: &Node, pool: &PoolAttributes, data: &[usize]) -> Result<Vec<usize>, ModelError> {
    let &[n, c, h, w] = data else {
        return Err(node.error(format!("expected [N, C, H, W], got {data:?}")));
    };
    let mut pads = pool.pads;
    if pool.is_rounded_up {
        for (axis, input) in [h, w].into_iter().enumerate() {
            let stride = pool.strides[axis];
            let room = (input + pads[axis] + pads[axis + 2]).saturating_sub(pool.kernel[axis]);
            // Up to the next step, but not so far that a window begins in the pads at the end.
            let (fitting, beginning) = (room.div_ceil(stride), (input + pads[axis] - 1) / stride);
            pads[axis + 2] += (fitting.min(beginning) * stride).saturating_sub(room);
        }
    }
    let [rows, columns] = windows(node, [h, w], pool.kernel, pool.strides, pads)?;
    Ok(vec![n, c, rows, columns])
}

fn resize_shape(node: &Node, resize: &Resize, data: &[usize]) -> Result<Vec<usize>, ModelError> {
    let &[n, c, h, w] = data else {
        return Err(node.error(format!("expected [N, C, H, W], got {data:?}")));
    };
    let [rows, columns] = match resize.target {
        ResizeTarget::Sizes(sizes) => sizes,
        // In double precision, as the standard's reference does it; too large ones saturate and are refused.
        ResizeTarget::Scales([y, x]) => {
            [(h as f64 * f64::from(y)).floor() as usize, (w as f64 * f64::from(x)).floor() as usize]
        }
    };
    if resize.coordinates == Coordinates::AlignCorners && (rows < 2 || columns < 2) {
        return Err(node.error("aligned corners need two pixels"));
    }
    Ok(vec![n, c, rows, columns])
}

/// Order of axes, all of `rank`.
///
/// # Errors
/// [`ModelError::Node`] if it is no permutation.
pub fn transposition(node: &Node, order: &[usize], rank: usize) -> Result<Vec<usize>, ModelError> {
    if order.is_empty() {
        return Ok((0..rank).rev().collect());
    }
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    if sorted == (0..rank).collect::<Vec<_>>() {
        return Ok(order.to_vec());
    }
    Err(node.error(format!("perm {order:?} is no order of {rank} axes")))
}

/// Axis, first index and length of the part that a `Split` takes of `data`.
///
/// # Errors
/// [`ModelError::Node`] if the parts do not make up the axis.
pub fn split_range(node: &Node, data: &[usize]) -> Result<(usize, usize, usize), ModelError> {
    let Op::Split { axis, part, sizes, parts } = &node.op else {
        return Err(node.error("it is no Split"));
    };
    let axis = axis_of(node, *axis, data.len())?;
    match sizes {
        Some(sizes)
            if sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size)) == Some(data[axis]) =>
        {
            Ok((axis, sizes[..*part].iter().sum(), sizes[*part]))
        }
        None if data[axis].is_multiple_of(*parts) => {
            let length = data[axis] / parts;
            Ok((axis, part * length, length))
        }
        _ => Err(node.error(format!("its parts do not make up axis {axis} of {data:?}"))),
    }
}

/// The axes that a mean is taken over.
///
/// # Errors
/// [`ModelError::Node`] if an axis does not exist or comes twice.
pub fn reduced_axes(node: &Node, axes: &[i64], rank: usize) -> Result<Vec<usize>, ModelError> {
    if axes.is_empty() {
        return Ok((0..rank).collect());
    }
    let mut found = axes.iter().map(|&axis| axis_of(node, axis, rank)).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable();
    found.dedup();
    if found.len() == axes.len() { Ok(found) } else { Err(node.error("an axis is given twice")) }
}

impl SliceAxis {
    /// The step, as far as this machine can count.
    pub fn step_size(&self) -> usize {
        usize::try_from(self.step).unwrap_or(usize::MAX)
    }

    /// First index and number of indices in an axis of `extent`.
    pub fn range(&self, extent: usize) -> (usize, usize) {
        let limit = extent as i64;
        let at =
            |index: i64| if index < 0 { index.saturating_add(limit) } else { index }.clamp(0, limit) as usize;
        let (start, end) = (at(self.start), at(self.end));
        (start, end.saturating_sub(start).div_ceil(self.step_size()))
    }
}

fn reshaped(node: &Node, target: &Reshape, data: &[usize]) -> Result<Vec<usize>, ModelError> {
    let elements: usize = data.iter().product();
    let shape: Vec<usize> = match target {
        Reshape::Flatten(axis) => {
            let axis =
                if *axis == data.len() as i64 { data.len() } else { axis_of(node, *axis, data.len())? };
            vec![data[..axis].iter().product(), data[axis..].iter().product()]
        }
        Reshape::Squeeze(axes) => {
            let axes =
                axes.iter().map(|&axis| axis_of(node, axis, data.len())).collect::<Result<Vec<_>, _>>()?;
            if let Some(axis) = axes.iter().find(|&&axis| data[axis] != 1) {
                return Err(node.error(format!("axis {axis} of {data:?} is not 1")));
            }
            let goes = |i: usize| if axes.is_empty() { data[i] == 1 } else { axes.contains(&i) };
            (0..data.len()).filter(|&i| !goes(i)).map(|i| data[i]).collect()
        }
        Reshape::Unsqueeze(axes) => {
            let rank = data.len() + axes.len();
            let axes = axes.iter().map(|&axis| axis_of(node, axis, rank)).collect::<Result<Vec<_>, _>>()?;
            let mut rest = data.iter();
            // An axis that comes twice leaves data over, which the count below finds.
            (0..rank).map(|i| if axes.contains(&i) { 1 } else { rest.next().copied().unwrap_or(0) }).collect()
        }
        Reshape::To(extents) => {
            let kept = |(i, &extent): (usize, &i64)| match extent {
                0 => data.get(i).map(|&extent| extent as i64),
                extent => Some(extent),
            };
            let extents: Option<Vec<i64>> = extents.iter().enumerate().map(kept).collect();
            let extents =
                extents.ok_or_else(|| node.error(format!("it keeps an axis that {data:?} lacks")))?;
            let known = extents.iter().filter(|&&extent| extent != -1);
            let known = known.map(|&extent| usize::try_from(extent).ok()).collect::<Option<Vec<_>>>();
            let known = known.and_then(|known| checked_elements(&known)).filter(|&known| known > 0);
            let known = known.ok_or_else(|| node.error(format!("shape {extents:?} is not supported")))?;
            extents
                .iter()
                .map(|&extent| if extent == -1 { elements / known } else { extent as usize })
                .collect()
        }
    };
    if shape.contains(&0) || checked_elements(&shape) != Some(elements) {
        return Err(node.error(format!("{data:?} does not fit into {shape:?}")));
    }
    Ok(shape)
}
