//! Which layers slide a kernel over their input? Convolutions of one, two and three axes.
//!
//! - `geometry`: [`ConvGeometry`], the sizes of one.
//! - `parameters`: [`Conv`], made, read and set; [`Conv1d`], [`Conv2d`] and [`Conv3d`] are it.
//! - `forward_backward`: what it computes, as a layer; `linear`: as a linear layer, on patches.
//!
//! Its weight is that of a linear layer, `linear`, over the patches of the room `patches`; adapters go around it as
//! around any layer. Uses `linear`, `layer`, `patches` and `activation`.

mod forward_backward;
mod geometry;
mod linear;
mod parameters;

pub use geometry::ConvGeometry;
pub use parameters::{Conv, Conv1d, Conv2d, Conv3d};
