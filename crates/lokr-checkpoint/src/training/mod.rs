//! How does a training run, or a whole network, outlive the program? A safetensors file with every bit of it.
//!
//! - `state`: a run's state as tensors; `run`: [`save_training`] and [`load_training`].
//! - `network`: [`save_network`], [`read_network`] and [`load_network`], all values of a network, frozen ones too, and
//!   what it is made of.
//!
//! Such files are this crate's own. It uses the tensors of `file`, and networks and states as `lokr-layers` has them.

mod network;
mod run;
mod state;

pub use network::{SavedNetwork, load_network, read_network, save_network};
pub use run::{load_training, save_training};
