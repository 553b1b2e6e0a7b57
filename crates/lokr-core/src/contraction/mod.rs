//! How is a batch taken through an operator? One axis of its rows after the other.

pub(crate) mod order;
pub(crate) mod step;
pub(crate) mod walk;

pub use order::Order;
