//! What is wrong with PEFT's configuration, or why there is none for an adapter.

use thiserror::Error;

use super::list::list;

/// What is wrong with PEFT's configuration, or why there is none for an adapter.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A field with a wrong value.
    #[error("{field}: {found}, expected {expected}")]
    Field {
        /// The field.
        field: String,
        /// What is expected, in words.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A pattern that is no regular expression here.
    #[error("{field}: {source}")]
    Pattern {
        /// The field.
        field: &'static str,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: Box<lokr_layers::LayerError>,
    },
    /// The configuration's rank is not that of the tensors.
    #[error("{module}: {field} gives rank {expected}, but the tensors have rank {found}")]
    Rank {
        /// The module.
        module: String,
        /// `r` or `rank_pattern`.
        field: &'static str,
        /// The configuration's rank.
        expected: usize,
        /// The tensors' rank.
        found: usize,
    },
    /// Patterns that match one module and give it different scales.
    #[error(
        "{module}: the patterns {} match and give different scales; PEFT's choice depends on their lost order",
        list(patterns)
    )]
    AmbiguousPattern {
        /// The module.
        module: String,
        /// The patterns.
        patterns: Vec<String>,
    },
    /// Factors that PEFT would not make: it takes their shapes from the layer's and one `decompose_factor`, not from
    /// the file.
    #[error(
        "{module}: no decompose_factor makes PEFT split ({}, {}) into w1 {w1:?} and w2 {w2:?}, and the modules before it \
         as they are",
        w1.0 * w2.0, w1.1 * w2.1
    )]
    Factors {
        /// The first module that does not fit.
        module: String,
        /// The shape `(m, n)` of w1.
        w1: (usize, usize),
        /// The shape `(p, q)` of w2, without its kernel.
        w2: (usize, usize),
    },
}
