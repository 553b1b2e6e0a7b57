//! Weights that are stored in eight bits a value: how their values follow from what is stored, and how others are
//! stored in their place.
//!
//! - `layout`: of which kind a weight is, told by its type and the tensors beside it; `beside`: those tensors, and what
//!   else describes them; `formats`: kinds that are recognised and refused.
//! - `encoding`: a weight's elements decoded and encoded; `code`: one value; `scales`: which scale is whose;
//!   `stored_scales`: scales as they are stored, and new ones; `rotation`: weights stored in another basis.
//! - `chance`: reproducible randomness for stochastic rounding.
//!
//! It uses the room `file`. Where the facts come from is in `docs/file-formats.md`.

mod beside;
mod chance;
mod code;
mod encoding;
mod formats;
mod layout;
mod rotation;
mod scales;
mod stored_scales;

pub(crate) use beside::{Beside, Description, METADATA, names_module};
pub(crate) use chance::Chance;
pub(crate) use code::Rounding;
pub(crate) use encoding::{Codec, Encoding, Maxima};
pub(crate) use formats::module_of;
pub(crate) use layout::{Layout, Weight, is_marker, layout, marked_path, may_be_codes, possible_companions};
pub(crate) use scales::Scales;
