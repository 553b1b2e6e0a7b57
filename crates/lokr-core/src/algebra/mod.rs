//! What a matrix can be asked, answered from the factors of a product.

mod cholesky;
mod determinant;
mod eigen;
mod inner_product;
mod inverse;
mod kron_sum;
mod matmul;
pub(crate) mod norm;
mod rank;
mod solve;
mod svd;
mod sylvester;
mod trace;

pub use determinant::LogDeterminant;
pub use eigen::KronEigen;
pub use kron_sum::KronSum;
pub use svd::KronSvd;
