//! Attention as nodes: Reshape, Transpose, Mul, MatMul, Add, Softmax.

use super::names;
use super::onnx::{GraphWriter, Value, int, ints};
use crate::models::Attention;
use crate::ops::Partition;
use candle_core::{Result, Tensor};

/// What the matrices of a map are in a product.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// `[B, groups, rows, D]`
    Rows,
    /// `[B, groups, D, rows]`
    Columns,
}

/// Writes the nodes of `layer`, as [`crate::ops::attention`] computes it for one picture.
pub(super) fn write(writer: &mut GraphWriter, layer: &Attention, [q, k, v]: [&Value; 3]) -> Result<Value> {
    let grouping = layer.grouping;
    let name = |part: &str| format!("{}.{part}", layer.name);
    let scale = Tensor::new(&[grouping.scale(q.shape[1]) as f32], &candle_core::Device::Cpu)?;
    let scale = writer.constant(name("scale"), &scale)?;
    let scaled = writer.push("Mul", &[&q.name, &scale], Vec::new(), name("scaled"), q.shape.clone());

    let of_query = Cut { heads: grouping.heads, groups: grouping.kv_heads, partition: grouping.partition };
    let of_key = Cut { heads: grouping.kv_heads, ..of_query };
    let rows = of_query.matrices(writer, &scaled, Role::Rows, &name("query"));
    let columns = of_key.matrices(writer, k, Role::Columns, &name("key"));
    let values = of_key.matrices(writer, v, Role::Rows, &name("value"));

    let shape = [&rows.shape[..3], &columns.shape[3..]].concat();
    let inputs = [&rows.name[..], &columns.name];
    let mut scores = writer.push("MatMul", &inputs, Vec::new(), name("scores"), shape.clone());
    if let Some(bias) = layer.bias([q.shape[2], q.shape[3]])? {
        let bias = bias.reshape((1, shape[1], shape[2], shape[3]))?;
        // Pictures of another size have another table.
        let bias = writer.constant(name(&format!("bias.{}", shape[3])), &bias)?;
        scores = writer.push("Add", &[&scores.name, &bias], Vec::new(), name("biased"), shape.clone());
    }
    let weights = writer.push("Softmax", &[&scores.name], vec![int("axis", -1)], name("weights"), shape);
    let inputs = [&weights.name[..], &values.name];
    let seen = writer.push("MatMul", &inputs, Vec::new(), name("seen"), rows.shape.clone());
    Ok(of_query.map(writer, &seen, [q.shape[2], q.shape[3]], &layer.name))
}

/// How a map is cut into matrices.
#[derive(Clone, Copy)]
struct Cut {
    /// Groups of the map's channels.
    heads: usize,
    /// Matrices of a window: heads that share keys are rows of one.
    groups: usize,
    partition: Partition,
}

impl Cut {
    /// The matrices `[B, groups, heads / groups * L, D]` of a map `[1, heads * D, H, W]`, or their transposes.
    fn matrices(&self, writer: &mut GraphWriter, x: &Value, role: Role, name: &str) -> Value {
        let (heads, depth) = (self.heads, x.shape[1] / self.heads);
        let axes = Axes::new(self.partition, [x.shape[2], x.shape[3]]);
        let (windows, length) = (axes.windows(), axes.length());
        let part = |part: &str| format!("{name}.{part}");
        let cut = if windows == 1 {
            let x = writer.reshape(x, vec![1, heads, depth, length], part("split"));
            if role == Role::Columns {
                return x;
            }
            transpose(writer, &x, &[0, 1, 3, 2], part("transposed"))
        } else {
            let split = [&[heads, depth][..], &axes.extents].concat();
            let x = writer.reshape(x, split, part("split"));
            let [wy, wx, y, x_] = axes.places.map(|place| place + 2);
            let order = match role {
                Role::Rows => [wy, wx, 0, y, x_, 1],
                Role::Columns => [wy, wx, 0, 1, y, x_],
            };
            transpose(writer, &x, &order, part("transposed"))
        };
        let rows = heads / self.groups * length;
        let shape = match role {
            Role::Rows => vec![windows, self.groups, rows, depth],
            Role::Columns => vec![windows, self.groups, depth, rows],
        };
        if cut.shape == shape { cut } else { writer.reshape(&cut, shape, part("matrices")) }
    }

    /// The map `[1, heads * D, H, W]` of the matrices `[B, groups, heads / groups * L, D]`.
    fn map(&self, writer: &mut GraphWriter, x: &Value, [h, w]: [usize; 2], name: &str) -> Value {
        let (heads, depth) = (self.heads, x.shape[3]);
        let axes = Axes::new(self.partition, [h, w]);
        let part = |part: &str| format!("{name}.{part}");
        let joined = if axes.windows() == 1 {
            let shape = vec![1, heads, axes.length(), depth];
            let x = if x.shape == shape { x.clone() } else { writer.reshape(x, shape, part("heads")) };
            transpose(writer, &x, &[0, 1, 3, 2], part("channels"))
        } else {
            let [rows, columns, height, width] = axes.places.map(|place| axes.extents[place]);
            let x = writer.reshape(x, vec![rows, columns, heads, height, width, depth], part("heads"));
            // Where rows, columns, height and width stand now.
            let stand = [0, 1, 3, 4];
            let mut order = vec![2, 5, 0, 0, 0, 0];
            for (now, place) in stand.into_iter().zip(axes.places) {
                order[2 + place] = now;
            }
            transpose(writer, &x, &order, part("channels"))
        };
        writer.reshape(&joined, vec![1, heads * depth, h, w], names::attention(name))
    }
}

/// Height and width of a map, each as windows and positions in one.
struct Axes {
    /// The four extents in the map's order.
    extents: [usize; 4],
    /// Which of them are rows and columns of windows, height and width of one.
    places: [usize; 4],
}

impl Axes {
    fn new(partition: Partition, [h, w]: [usize; 2]) -> Self {
        let ((rows, height), (columns, width)) = (partition.split(h), partition.split(w));
        match partition {
            Partition::Whole | Partition::Adjacent(_) => {
                Axes { extents: [rows, height, columns, width], places: [0, 2, 1, 3] }
            }
            Partition::Strided(_) => Axes { extents: [height, rows, width, columns], places: [1, 3, 0, 2] },
        }
    }

    fn windows(&self) -> usize {
        self.extents[self.places[0]] * self.extents[self.places[1]]
    }

    fn length(&self) -> usize {
        self.extents[self.places[2]] * self.extents[self.places[3]]
    }
}

fn transpose(writer: &mut GraphWriter, x: &Value, order: &[usize], name: String) -> Value {
    let shape = order.iter().map(|&axis| x.shape[axis]).collect();
    let order: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
    writer.push("Transpose", &[&x.name], vec![ints("perm", &order)], name, shape)
}
