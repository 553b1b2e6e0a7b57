//! The operators behind the shapes.

use lokr::core::{Factor, Kron, KronChain, KronGradients, Scalar};
use lokr::layers::rand::rngs::SmallRng;
use ndarray::{Array2, ArrayRef2};

use super::{Shape, matrix};

/// An operator with data, of either kind.
pub enum Operator<T: 'static> {
    Two(Kron<'static, T>),
    Chain(KronChain<'static, T>),
}

/// Memory for the gradients of an [`Operator`].
pub struct Gradients<T>(Option<KronGradients<T>>);

impl<T: Scalar> Operator<T> {
    pub fn new(shape: Shape, rng: &mut SmallRng) -> Self {
        match shape {
            Shape::Two { m, n, p, q, rank } => {
                let a = matrix(rng, m, n);
                let b = match rank {
                    None => Factor::from(matrix(rng, p, q)),
                    Some(r) => Factor::low_rank(matrix(rng, p, r), matrix(rng, r, q)).expect("the halves fit"),
                };
                Self::Two(Kron::new(a, b).expect("no factor is empty"))
            }
            Shape::Chain { side, length } => {
                let factors: Vec<Array2<T>> = (0..length).map(|_| matrix(rng, side, side)).collect();
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

    /// `W ← W + s·K` for a product of two factors.
    pub fn merge(&self, s: T, w: &mut ArrayRef2<T>) {
        match self {
            Self::Two(kron) => kron.add_to(s, w).expect("the shapes fit"),
            Self::Chain(_) => unreachable!("a chain has no merge"),
        }
    }

    pub fn gradients(&self) -> Gradients<T> {
        match self {
            Self::Two(kron) => Gradients(Some(KronGradients::zeros(kron))),
            Self::Chain(_) => Gradients(None),
        }
    }

    /// Adds to `gradients` and writes `dx`. A chain has no such form yet and allocates both.
    pub fn gradients_into(&self, x: &ArrayRef2<T>, dy: &ArrayRef2<T>, to: &mut Gradients<T>, dx: &mut ArrayRef2<T>) {
        match (self, &mut to.0) {
            (Self::Two(kron), Some(gradients)) => {
                kron.gradients_into(T::one(), x, dy, gradients, T::zero(), dx).expect("the shapes fit");
            }
            (Self::Chain(chain), _) => {
                std::hint::black_box(chain.gradients(x, dy).expect("the shapes fit"));
            }
            (Self::Two(_), None) => unreachable!("made by `gradients` of another operator"),
        }
    }
}
