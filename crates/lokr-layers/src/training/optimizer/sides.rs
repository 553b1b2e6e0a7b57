//! What SOAP keeps of one parameter: Adam's two means, and the curvature of either side of a matrix.

use lokr_core::{Kron, Scalar, Symmetry, matmul_into};
use ndarray::{Array2, ArrayViewD, ArrayViewMutD};

use crate::error::Result;

/// The memory of one parameter, read as a matrix `(m, n)`; what is no matrix is one of a single row.
#[derive(Debug, Clone)]
pub(super) struct Slot<T> {
    /// The mean of the gradients, and that of the squares of the turned gradients.
    pub(super) mean: Array2<T>,
    pub(super) square: Array2<T>,
    /// Of the rows and of the columns, where there is more than one and not too many.
    pub(super) left: Option<Side<T>>,
    pub(super) right: Option<Side<T>>,
    /// Scratch, of the parameter's shape: the gradient, what is turned, and what is half turned.
    pub(super) gradient: Array2<T>,
    pub(super) turned: Array2<T>,
    pub(super) half: Array2<T>,
}

/// The curvature of one side of a matrix, and the eigenvectors of an earlier one, as columns.
#[derive(Debug, Clone)]
pub(super) struct Side<T> {
    pub(super) covariance: Array2<T>,
    pub(super) basis: Array2<T>,
}

/// The eigenvectors of both sides, where there are any.
pub(super) type Bases<T> = (Option<Array2<T>>, Option<Array2<T>>);

impl<T: Scalar> Slot<T> {
    /// For a parameter of that shape, whose sides count up to `max_side`.
    pub(super) fn zeros(shape: &[usize], max_side: usize) -> Self {
        let (dim, is_matrix) = match *shape {
            [rows, cols] => ((rows, cols), true),
            _ => ((1, shape.iter().product()), false),
        };
        let zeros = || Array2::zeros(dim);
        let side = |size: usize| {
            let matrix = || Array2::zeros((size, size));
            (is_matrix && (2..=max_side).contains(&size)).then(|| Side { covariance: matrix(), basis: matrix() })
        };
        let (left, right) = (side(dim.0), side(dim.1));
        Self { mean: zeros(), square: zeros(), left, right, gradient: zeros(), turned: zeros(), half: zeros() }
    }

    /// What is to be saved, with names.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, &Array2<T>)> {
        let left = self.left.iter().flat_map(|side| [("left", &side.covariance), ("left_basis", &side.basis)]);
        let right = self.right.iter().flat_map(|side| [("right", &side.covariance), ("right_basis", &side.basis)]);
        [("mean", &self.mean), ("square", &self.square)].into_iter().chain(left).chain(right)
    }

    /// [`Slot::parts`], writable.
    pub(super) fn parts_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Array2<T>)> {
        let Self { mean, square, left, right, .. } = self;
        let left = left.iter_mut().flat_map(|s| [("left", &mut s.covariance), ("left_basis", &mut s.basis)]);
        let right = right.iter_mut().flat_map(|s| [("right", &mut s.covariance), ("right_basis", &mut s.basis)]);
        [("mean", mean), ("square", square)].into_iter().chain(left).chain(right)
    }

    pub(super) fn store_gradient(&mut self, gradient: &ArrayViewD<'_, T>) {
        self.gradient.iter_mut().zip(gradient).for_each(|(own, &g)| *own = g);
    }

    /// `L ← keep·L + add·G·Gᵀ` and `R ← keep·R + add·Gᵀ·G`.
    pub(super) fn add_covariances(&mut self, keep: T, add: T) -> Result<()> {
        let g = &self.gradient;
        if let Some(left) = &mut self.left {
            matmul_into(add, g, &g.t(), keep, &mut left.covariance)?;
        }
        if let Some(right) = &mut self.right {
            matmul_into(add, &g.t(), g, keep, &mut right.covariance)?;
        }
        Ok(())
    }

    /// The eigenvectors of `L` and `R`: those of the Kronecker product `L ⊗ R`, which are the products of theirs.
    pub(super) fn eigenvectors(&self) -> Result<Bases<T>> {
        let one = Array2::ones((1, 1));
        let covariance = |side: &Option<Side<T>>| side.as_ref().map_or(one.clone(), |side| side.covariance.clone());
        // Symmetric up to the rounding of sums of any length.
        let eigen = Kron::new(covariance(&self.left), covariance(&self.right))?;
        let eigen = eigen.symmetric_eigen_with(Symmetry::Average)?;
        let (a, b) = (eigen.vectors().a().to_dense(), eigen.vectors().b().to_dense());
        Ok((self.left.as_ref().map(|_| a), self.right.as_ref().map(|_| b)))
    }

    pub(super) fn set_bases(&mut self, (left, right): Bases<T>) {
        for (side, basis) in [(&mut self.left, left), (&mut self.right, right)] {
            if let (Some(side), Some(basis)) = (side, basis) {
                side.basis = basis;
            }
        }
    }

    /// One step of Adam among the eigenvectors; `values` is moved by it.
    pub(super) fn step(&mut self, numbers: &Numbers<T>, mut values: ArrayViewMutD<'_, T>) -> Result<()> {
        let Numbers { keep1, add1, keep2, add2, root_correction, epsilon, rate, keep_value } = *numbers;
        let Self { mean, square, left, right, gradient, turned, half } = self;
        let bases = (left.as_ref().map(|side| &side.basis), right.as_ref().map(|side| &side.basis));
        mean.zip_mut_with(gradient, |m, &g| *m = keep1 * *m + add1 * g);
        turn(bases, gradient, half, turned)?;
        square.zip_mut_with(turned, |v, &g| *v = keep2 * *v + add2 * g * g);
        turn(bases, mean, half, turned)?;
        turned.zip_mut_with(square, |m, &v| *m /= v.sqrt() * root_correction + epsilon);
        turn_back(bases, half, turned)?;
        values.iter_mut().zip(&*turned).for_each(|(v, &step)| *v = keep_value * *v - rate * step);
        Ok(())
    }
}

/// `turned ← Q_Lᵀ·x·Q_R`.
fn turn<T: Scalar>(
    bases: (Option<&Array2<T>>, Option<&Array2<T>>),
    x: &Array2<T>,
    half: &mut Array2<T>,
    turned: &mut Array2<T>,
) -> Result<()> {
    let (one, zero) = (T::one(), T::zero());
    match bases {
        (None, None) => turned.assign(x),
        (Some(left), None) => matmul_into(one, &left.t(), x, zero, turned)?,
        (None, Some(right)) => matmul_into(one, x, right, zero, turned)?,
        (Some(left), Some(right)) => {
            matmul_into(one, &left.t(), x, zero, half)?;
            matmul_into(one, half, right, zero, turned)?;
        }
    }
    Ok(())
}

/// `turned ← Q_L·turned·Q_Rᵀ`.
fn turn_back<T: Scalar>(
    bases: (Option<&Array2<T>>, Option<&Array2<T>>),
    half: &mut Array2<T>,
    turned: &mut Array2<T>,
) -> Result<()> {
    let (one, zero) = (T::one(), T::zero());
    match bases {
        (None, None) => {}
        (Some(left), None) => {
            matmul_into(one, left, turned, zero, half)?;
            std::mem::swap(turned, half);
        }
        (None, Some(right)) => {
            matmul_into(one, turned, &right.t(), zero, half)?;
            std::mem::swap(turned, half);
        }
        (Some(left), Some(right)) => {
            matmul_into(one, left, turned, zero, half)?;
            matmul_into(one, half, &right.t(), zero, turned)?;
        }
    }
    Ok(())
}

/// What a step multiplies by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers<T> {
    pub(super) keep1: T,
    pub(super) add1: T,
    pub(super) keep2: T,
    pub(super) add2: T,
    pub(super) root_correction: T,
    pub(super) epsilon: T,
    pub(super) rate: T,
    pub(super) keep_value: T,
}
