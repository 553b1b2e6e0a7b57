//! Kronecker products that are held as their factors: applied, differentiated and merged without being formed.

mod apply;
mod chain;
mod factor;
mod gradient;
mod kron;
mod kron_dense;
mod plan;

pub use chain::KronChain;
pub use factor::{Factor, LowRank};
pub use gradient::KronGradients;
pub use kron::Kron;
pub use kron_dense::kron_dense;
