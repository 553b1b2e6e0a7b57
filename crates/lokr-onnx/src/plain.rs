//! Layers without a weight matrix as nodes.

use lokr_core::Scalar;
use ndarray::{ArrayView1, ArrayView2};

use crate::check::joined;
use crate::graph::{Attribute, Graph, Value};
use crate::proto::data_type;

/// The rows of `table` that the first `columns` columns of `x` name, and the `passed` columns behind them.
pub(crate) fn embedding<T: Scalar>(
    graph: &mut Graph,
    name: &str,
    table: ArrayView2<'_, T>,
    (columns, passed): (usize, usize),
    x: &str,
) -> Value {
    let values = columns * table.ncols();
    let numbers = if passed == 0 { x.to_owned() } else { slice(graph, &joined(name, "numbers"), x, 0, columns) };
    let table = graph.constant(&joined(name, "weight"), table);
    let to_integer = vec![Attribute::Int("to", i64::from(data_type::INT64))];
    let tokens = graph.node(&joined(name, "tokens"), "Cast", &[&numbers], to_integer);
    let rows = graph.node(&joined(name, "rows"), "Gather", &[&table, &tokens], Vec::new());
    let y = graph.reshape(&joined(name, "embedded"), &rows, &[0, values as i64]);
    if passed == 0 {
        return y;
    }
    let rest = slice(graph, &joined(name, "passed"), x, columns, columns + passed);
    graph.node(&joined(name, "joined"), "Concat", &[&y, &rest], vec![Attribute::Int("axis", 1)])
}

/// Columns `start..end`.
fn slice(graph: &mut Graph, name: &str, x: &str, start: usize, end: usize) -> Value {
    let mut at = |part: &str, value: usize| graph.integers(&joined(name, part), &[value as i64]);
    let (start, end, axis) = (at("start", start), at("end", end), at("axis", 1));
    graph.node(name, "Slice", &[x, &start, &end, &axis], Vec::new())
}

/// `(x − mean)/√(variance + ε)·weight + bias` of each piece.
pub(crate) fn layer_norm<T: Scalar>(
    graph: &mut Graph,
    name: &str,
    (weight, bias): (ArrayView1<'_, T>, ArrayView1<'_, T>),
    (pieces, epsilon): (usize, T),
    x: &str,
) -> Value {
    let size = weight.len();
    let (weight, bias) = (graph.constant(&joined(name, "weight"), weight), graph.constant(&joined(name, "bias"), bias));
    let epsilon = graph.number(&joined(name, "epsilon"), epsilon);
    let x = match pieces {
        1 => x.to_owned(),
        _ => graph.reshape(&joined(name, "pieces"), x, &[0, pieces as i64, size as i64]),
    };
    let mut node = |part: &str, operator: &str, inputs: &[&str], settings| {
        graph.node(&joined(name, part), operator, inputs, settings)
    };
    let mean_of_pieces = || vec![Attribute::Ints("axes", vec![-1]), Attribute::Int("keepdims", 1)];
    let mean = node("mean", "ReduceMean", &[&x], mean_of_pieces());
    let centred = node("centred", "Sub", &[&x, &mean], Vec::new());
    let squares = node("squares", "Mul", &[&centred, &centred], Vec::new());
    let variance = node("variance", "ReduceMean", &[&squares], mean_of_pieces());
    let shifted = node("shifted", "Add", &[&variance, &epsilon], Vec::new());
    let deviation = node("deviation", "Sqrt", &[&shifted], Vec::new());
    let normal = node("normal", "Div", &[&centred, &deviation], Vec::new());
    let scaled = node("scaled", "Mul", &[&normal, &weight], Vec::new());
    let y = node("normalized", "Add", &[&scaled, &bias], Vec::new());
    if pieces == 1 { y } else { graph.reshape(&joined(name, "joined"), &y, &[0, (pieces * size) as i64]) }
}
