//! The operators behind the shapes.

use lokr::core::{Factor, Kron, KronChain, KronGradients, Scalar};
use lokr::layers::rand::rngs::SmallRng;
use ndarray::{Array2, ArrayRef2};

use super::data::matrix;
use super::shape::Shape;

/// An operator with data, of either kind.
#[allow(clippy::large_enum_variant)] // There is one at a time.
pub enum Operator<T: Scalar> {
    Two(Kron<'static, T>),
    Chain(KronChain<'static, T>),
}

impl<T: Scalar> Operator<T> {
    /// With random factors.
    pub fn new(shape: Shape, rng: &mut SmallRng) -> Self {
        Self::filled(shape, |rows, cols| matrix(rng, rows, cols))
    }

    /// With factors made by `fill(rows, cols)`, which is asked for `A`, then `B` or its halves, or for a chain's in
    /// order.
    pub fn filled(shape: Shape, mut fill: impl FnMut(usize, usize) -> Array2<T>) -> Self {
        match shape {
            Shape::Two { m, n, p, q, rank } => {
                let a = fill(m, n);
                let b = match rank {
                    None => Factor::from(fill(p, q)),
                    Some(r) => Factor::low_rank(fill(p, r), fill(r, q)).expect("the halves fit"),
                };
                Self::Two(Kron::new(a, b).expect("no factor is empty"))
            }
            Shape::Chain { side, length } => {
                let factors: Vec<Array2<T>> = (0..length).map(|_| fill(side, side)).collect();
                Self::Chain(KronChain::new(factors).expect("no factor is empty"))
            }
        }
    }

    pub fn apply_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) {
        match self {
            Self::Two(kron) => kron.apply_into(T::one(), x, T::zero(), y),
            Self::Chain(chain) => chain.apply_into(T::one(), x, T::zero(), y),
        }
        .expect("the shapes fit");
    }

    /// `W ← W + s·K`.
    pub fn merge(&self, s: T, w: &mut ArrayRef2<T>) {
        match self {
            Self::Two(kron) => kron.add_to(s, w),
            Self::Chain(chain) => chain.add_to(s, w),
        }
        .expect("the shapes fit");
    }

    pub fn gradients(&self) -> KronGradients<T> {
        match self {
            Self::Two(kron) => KronGradients::zeros(kron),
            Self::Chain(chain) => KronGradients::zeros(chain),
        }
    }

    /// Adds to `gradients` and writes `dx`.
    pub fn gradients_into(
        &self,
        x: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        gradients: &mut KronGradients<T>,
        dx: &mut ArrayRef2<T>,
    ) {
        match self {
            Self::Two(kron) => kron.gradients_into(T::one(), x, dy, gradients, T::zero(), dx),
            Self::Chain(chain) => chain.gradients_into(T::one(), x, dy, gradients, T::zero(), dx),
        }
        .expect("the shapes fit");
    }
}
