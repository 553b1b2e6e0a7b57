//! A graph that grows node by node.

use std::collections::{BTreeMap, BTreeSet};

use lokr_core::Scalar;
use ndarray::{ArrayView, Dimension};

use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type, data_type};

/// The name of a value in the graph.
pub(crate) type Value = String;

/// Nodes and constants so far. Names are made unique as they come.
#[derive(Debug)]
pub(crate) struct Graph {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    taken: BTreeSet<String>,
    /// Constants that several nodes read, by their values.
    shapes: BTreeMap<Vec<i64>, Value>,
}

/// A setting of a node.
pub(crate) enum Attribute {
    Float(&'static str, f32),
    Int(&'static str, i64),
    Ints(&'static str, Vec<i64>),
}

/// The number of that type in files.
pub(crate) fn element_type<T: Scalar>() -> i32 {
    if is_wide::<T>() { data_type::DOUBLE } else { data_type::FLOAT }
}

/// Whether the elements are `f64`: the other type is `f32`.
pub(crate) fn is_wide<T: Scalar>() -> bool {
    T::NAME == f64::NAME
}

impl Graph {
    /// An empty one; the names of what goes in and comes out belong to no other value.
    pub(crate) fn new(input: &str, output: &str) -> Self {
        let taken = BTreeSet::from([input.to_owned(), output.to_owned()]);
        Self { nodes: Vec::new(), initializers: Vec::new(), taken, shapes: BTreeMap::new() }
    }

    /// Constant values under a name, or one like it where it is taken.
    pub(crate) fn constant<T: Scalar, D: Dimension>(&mut self, name: &str, values: ArrayView<'_, T, D>) -> Value {
        self.shaped(name, values.shape(), &values)
    }

    /// Constant values of that shape, given row by row.
    pub(crate) fn shaped<'v, T: Scalar>(
        &mut self,
        name: &str,
        shape: &[usize],
        values: impl IntoIterator<Item = &'v T>,
    ) -> Value {
        let wide = is_wide::<T>();
        let mut raw_data = Vec::with_capacity(shape.iter().product::<usize>() * size_of::<T>());
        for value in values {
            let value = value.to_f64_exact();
            if wide {
                raw_data.extend(value.to_le_bytes());
            } else {
                raw_data.extend((value as f32).to_le_bytes()); // It has been one.
            }
        }
        self.tensor(name, element_type::<T>(), shape, raw_data)
    }

    /// One number.
    pub(crate) fn number<T: Scalar>(&mut self, name: &str, value: T) -> Value {
        self.constant(name, ndarray::aview0(&value))
    }

    /// Whole numbers, such as a shape; those that are there already are used again.
    pub(crate) fn integers(&mut self, name: &str, values: &[i64]) -> Value {
        if let Some(known) = self.shapes.get(values) {
            return known.clone();
        }
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let value = self.tensor(name, data_type::INT64, &[values.len()], raw_data);
        self.shapes.insert(values.to_vec(), value.clone());
        value
    }

    fn tensor(&mut self, name: &str, data_type: i32, shape: &[usize], raw_data: Vec<u8>) -> Value {
        let name = self.unused(name);
        // Lengths of axes in memory are below 2⁶³.
        let dims = shape.iter().map(|&length| length as i64).collect();
        self.initializers.push(TensorProto { dims, data_type, name: name.clone(), raw_data });
        name
    }

    /// One more node, whose output is called after it.
    pub(crate) fn node(&mut self, name: &str, operator: &str, inputs: &[&str], settings: Vec<Attribute>) -> Value {
        let name = self.unused(name);
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: operator.to_owned(),
            attribute: settings.into_iter().map(AttributeProto::from).collect(),
        });
        name
    }

    /// `x` as an array of that shape; a length of 0 stands for that of the same axis of `x`.
    pub(crate) fn reshape(&mut self, name: &str, x: &str, shape: &[i64]) -> Value {
        let shape = self.integers(&format!("{name}.shape"), shape);
        self.node(name, "Reshape", &[x, &shape], Vec::new())
    }

    /// The graph, in which `last` is called `output`.
    pub(crate) fn finish(mut self, last: &str, output: &str) -> GraphProto {
        // Nothing has read it yet.
        match self.nodes.iter_mut().rev().find(|node| node.output.iter().any(|name| name == last)) {
            Some(node) => node.output = vec![output.to_owned()],
            None => {
                let (input, output) = (vec![last.to_owned()], vec![output.to_owned()]);
                let (name, op_type) = ("identity".to_owned(), "Identity".to_owned());
                self.nodes.push(NodeProto { input, output, name, op_type, attribute: Vec::new() });
            }
        }
        GraphProto { node: self.nodes, initializer: self.initializers, ..GraphProto::default() }
    }

    fn unused(&mut self, name: &str) -> String {
        let mut unused = name.to_owned();
        let mut count = 1;
        while !self.taken.insert(unused.clone()) {
            count += 1;
            unused = format!("{name}_{count}");
        }
        unused
    }
}

impl From<Attribute> for AttributeProto {
    fn from(attribute: Attribute) -> Self {
        match attribute {
            Attribute::Float(name, value) => {
                Self { name: name.to_owned(), f: Some(value), r#type: attribute_type::FLOAT, ..Self::default() }
            }
            Attribute::Int(name, value) => {
                Self { name: name.to_owned(), i: Some(value), r#type: attribute_type::INT, ..Self::default() }
            }
            Attribute::Ints(name, values) => {
                Self { name: name.to_owned(), ints: values, r#type: attribute_type::INTS, ..Self::default() }
            }
        }
    }
}
