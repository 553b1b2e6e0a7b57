//! Weights that a model stores in one tensor and adapters change apart.

use std::ops::Range;

/// What torch's `MultiheadAttention`, and with it OpenCLIP, stores the rows of query, key and value in, one after
/// another, and what each would be called on its own.
const FUSED: [(&str, &str); 2] = [("in_proj_weight", "weight"), ("in_proj_bias", "bias")];

/// The thirds in their order, as `transformers` names them.
const THIRDS: [&str; 3] = ["q_proj", "k_proj", "v_proj"];

/// Some rows of a tensor that stand for a parameter of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Third {
    /// The tensor's name.
    pub(super) tensor: String,
    pub(super) rows: Range<usize>,
    pub(super) shape: Vec<usize>,
}

/// The thirds of a tensor with their names, in the order of rows; none unless it is a fused one whose rows divide by
/// three.
pub(super) fn thirds(tensor: &str, shape: &[usize]) -> Vec<(String, Third)> {
    let name = |(fused, parameter)| Some((tensor.strip_suffix(fused)?, parameter));
    let (Some((path, parameter)), Some((&all, rest))) = (FUSED.into_iter().find_map(name), shape.split_first()) else {
        return Vec::new();
    };
    if !(path.is_empty() || path.ends_with('.')) || all % THIRDS.len() != 0 {
        return Vec::new();
    }
    let rows = all / THIRDS.len();
    let third = |(number, third): (usize, &str)| {
        let (rows, shape) = (number * rows..(number + 1) * rows, [&[rows], rest].concat());
        (format!("{path}{third}.{parameter}"), Third { tensor: tensor.to_owned(), rows, shape })
    };
    THIRDS.into_iter().enumerate().map(third).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirds_are_query_key_and_value() {
        let found = thirds("blocks.0.attn.in_proj_weight", &[12, 5]);
        for ((name, third), (right, rows)) in found.iter().zip([("q", 0..4), ("k", 4..8), ("v", 8..12)]) {
            assert_eq!(*name, format!("blocks.0.attn.{right}_proj.weight"));
            assert_eq!((&third.rows, &third.shape[..]), (&rows, &[4, 5][..]));
        }
        let bias = thirds("in_proj_bias", &[12]);
        assert_eq!((bias.len(), &*bias[2].0, &bias[2].1.shape[..]), (3, "v_proj.bias", &[4][..]));
    }

    #[test]
    fn other_tensors_have_no_thirds() {
        for (name, shape) in [
            ("a.in_proj_weight", &[13, 5][..]),
            ("a.in_proj_weight", &[]),
            ("a.in_proj.weight", &[12, 5]),
            ("a.my_in_proj_weight", &[12, 5]),
            ("a.weight", &[12, 5]),
        ] {
            assert!(thirds(name, shape).is_empty(), "{name} {shape:?}");
        }
    }
}
