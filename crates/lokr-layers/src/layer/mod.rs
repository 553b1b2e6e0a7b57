//! What a layer is: the traits that everything above is written against, and parameters by their names.
//!
//! - `traits`: [`Layer`], with [`LinearLayer`] for a layer that has a weight matrix and [`Adapter`] for one that adapts
//!   another.
//! - `arguments`: what their methods are given.
//! - `merges`: [`Merges`], what has been merged into a weight.
//! - `form`: [`Form`], what a layer is made of.
//! - `boxed`: `Box<dyn Layer<T>>` as a layer.
//! - `named`: parameters by name, read, set and loaded as a whole; `validate`: looked at before that.
//! - `axes`: inputs of more than two axes.
//! - `pre_activation`: from the gradient a layer is given to that of its pre-activation.
//! - `rows`: [`RowUpdates`], which update each row of a batch uses.
//!
//! A layer of your own implements [`Layer`]; then it can be adapted, chained and trained like those of this crate.
//!
//! Uses `update`, `patches` and `activation`; knows no layer by its type.

mod arguments;
mod axes;
mod boxed;
mod form;
mod merges;
mod named;
mod pre_activation;
mod rows;
mod traits;
mod validate;

pub use arguments::{GradientAt, GradientVisitorMut, ValueVisitor, ValueVisitorMut, Visitor, VisitorMut};
pub use axes::{as_rows, predict_axes};
pub use form::Form;
pub use merges::{Merges, Restore};
pub use named::{LoadReport, Loading, load_parameters, load_values, named_parameters, named_values, set_parameter};
pub(crate) use pre_activation::pre_activation_gradient;
pub use rows::RowUpdates;
pub(crate) use traits::require_gradients;
pub use traits::{Adapter, Layer, LinearLayer};
pub use validate::{
    ParameterReport, ShapeMismatch, check_parameter_shapes, check_parameters, parameter, parameter_shapes,
    rename_parameters,
};
