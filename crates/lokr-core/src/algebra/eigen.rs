//! The symmetric eigenvalue decomposition of a Kronecker product or sum, held as those of its factors.

use std::cmp::Ordering;
use std::fmt::{self, Debug, Formatter};
use std::sync::OnceLock;

use ndarray::{Array1, ArrayView1, ArrayView2, ArrayViewD, IxDyn};

use super::spectrum::{Combine, OfFactor, Spectrum};
use crate::decompose::{Kind, Scaled, SymmetricEigen, Symmetry, kind, scaled_symmetric_eigen, skew_schur};
use crate::error::{KronError, Result};
use crate::gemm::views::view;
use crate::operator::{Factor, FactorList, KronBase};
use crate::scalar::Scalar;

/// `M = Q·Λ·Qᵀ` for a product or a sum `M` of symmetric factors: the eigenvectors `Q = Q₁ ⊗ … ⊗ Q_k` are the Kronecker
/// product of the factors' eigenvectors, the eigenvalues the products `λᵢ·μⱼ·…`, or the sums `λᵢ + μⱼ + …`. Made by
/// [`KronBase::symmetric_eigen`] and [`KronSum::symmetric_eigen`](crate::KronSum::symmetric_eigen).
///
/// `KronEigen<T>` is that of a [`Kron`](crate::Kron). Chains and sums have one with a second parameter, a list of any
/// length, so that the vectors are a [`KronChain`](crate::KronChain).
///
/// # In which order
/// [`KronEigen::grid`] has the eigenvalues in the order of the columns of [`KronEigen::vectors`], with one axis for
/// each factor; [`KronEigen::values`] are sorted, when they are first asked for.
///
/// # Examples
/// ```
/// # use lokr_core::Kron;
/// # use ndarray::array;
/// let k = Kron::new(array![[0.0, 1.0], [1.0, 0.0]], array![[3.0]])?; // eigenvalues ±1, and 3
/// let eigen = k.symmetric_eigen()?;
/// assert!((eigen.values()[0] - -3.0_f64).abs() < 1e-14 && (eigen.values()[1] - 3.0).abs() < 1e-14);
/// let v = eigen.vector(1)?;
/// assert!((v[0] - v[1]).abs() < 1e-14); // (1, 1)/√2 or its negative
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Clone)]
pub struct KronEigen<T: Scalar, L: FactorList<Elem = T> = [Factor<'static, T>; 2]> {
    pub(super) vectors: KronBase<L>,
    pub(super) spectrum: Spectrum<T, T>,
    sorted: OnceLock<Sorted<T>>,
}

/// Eigenvalues, ascending, and for each the one of the first factor and that of the rest which it is made from.
#[derive(Clone)]
struct Sorted<T> {
    values: Array1<T>,
    pairs: Vec<(usize, usize)>,
}

impl<T: Scalar, L: FactorList<Elem = T>> KronBase<L> {
    /// The eigenvalues of a product of symmetric factors, ascending. An even number of them may be skew instead
    /// (`Mᵀ = −M`): then the product is symmetric too.
    ///
    /// # Cost
    /// That of [`KronBase::symmetric_eigen`], four times as much for skew factors, and a sort.
    /// # Errors
    /// As [`KronBase::symmetric_eigen`].
    /// # Examples
    /// ```
    /// # use lokr_core::{Kron, KronChain};
    /// # use ndarray::array;
    /// let k = Kron::new(array![[2.0, 0.0], [0.0, -1.0]], array![[5.0, 0.0], [0.0, 3.0]])?;
    /// let values = k.symmetric_eigenvalues()?;
    /// let expected = array![-5.0, -3.0, 6.0, 10.0_f64];
    /// assert!((&values - &expected).iter().all(|difference| difference.abs() < 1e-14));
    ///
    /// let flip = array![[0.0, 1.0], [1.0, 0.0]];
    /// let values = KronChain::power(&flip, 10)?.symmetric_eigenvalues()?; // 512 times −1, as often 1
    /// assert!((values[511] - -1.0_f64).abs() < 1e-13 && (values[512] - 1.0).abs() < 1e-13);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn symmetric_eigenvalues(&self) -> Result<Array1<T>> {
        self.symmetric_eigenvalues_with(Symmetry::Rounding)
    }

    /// [`KronBase::symmetric_eigenvalues`] of the symmetric (or skew) parts of the factors, with a measure of how
    /// symmetric they must be.
    ///
    /// # Errors
    /// As [`KronBase::symmetric_eigen`].
    pub fn symmetric_eigenvalues_with(&self, symmetry: Symmetry<T>) -> Result<Array1<T>> {
        let operation = "symmetric_eigenvalues";
        self.check_square_factors(operation)?;
        let kinds = self.named().map(|(name, factor)| kind(operation, name, factor, symmetry));
        let kinds = kinds.collect::<Result<Vec<_>>>()?;
        let skew = kinds.iter().filter(|kind| **kind == Kind::Skew).count();
        if skew == 0 || skew % 2 == 1 || kinds.contains(&Kind::General) {
            return Ok(self.eigen(operation, symmetry)?.into_values());
        }
        // The eigenvalues of a skew factor are i·g, and those of the product of two −g·h.
        let mut sign = if skew % 4 == 0 { T::one() } else { -T::one() };
        let of_factor = |((name, factor), kind)| {
            if kind == Kind::Skew {
                let schur = skew_schur(operation, name, factor)?;
                let values = schur.t.diag().mapv(|value| sign * value.im);
                sign = T::one();
                Ok(OfFactor::exact(values, schur.power))
            } else {
                let Scaled { result, power } = scaled_symmetric_eigen(operation, name, factor, symmetry)?;
                Ok(OfFactor::exact(result.values, power))
            }
        };
        let factors = self.named().zip(kinds).map(of_factor).collect::<Result<Vec<_>>>()?;
        Ok(sort(Spectrum::new(operation, Combine::Product, &factors)?.values.view(), 1).values)
    }

    /// The eigenvalue decomposition of a product of symmetric factors.
    ///
    /// The product of two skew factors is symmetric, but its real eigenvectors are no Kronecker products; of such a one
    /// [`KronBase::symmetric_eigenvalues`] has the values, and [`KronBase::solve_shifted`] solves with it.
    ///
    /// # Cost
    /// Some `9·n³` flops for each factor `(n, n)`, `2·n³` to measure the errors, and one multiplication for each
    /// eigenvalue of the product.
    /// # Errors
    /// [`KronError::NotSquare`]; [`KronError::NotSymmetric`] when a factor is further from symmetric than rounding
    /// makes it ([`Symmetry::Rounding`]; for more there is [`KronBase::symmetric_eigen_with`]);
    /// [`KronError::NonFinite`]; [`KronError::NoConvergence`]; [`KronError::OutOfMemory`] for more eigenvalues than
    /// memory holds.
    /// # Examples
    /// ```
    /// # use lokr_core::KronChain;
    /// # use ndarray::array;
    /// let (a, b, c) = (array![[1.0, 0.0], [0.0, 2.0]], array![[3.0]], array![[5.0, 0.0], [0.0, 7.0]]);
    /// let eigen = KronChain::new([&a, &b, &c])?.symmetric_eigen()?; // 15, 21, 30, 42
    /// assert_eq!(eigen.grid().shape(), [2, 1, 2]);
    /// assert!((eigen.grid()[[1, 0, 0]] - 30.0_f64).abs() < 1e-13);
    /// assert_eq!(eigen.indices(2)?, [1, 0, 0]);
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    pub fn symmetric_eigen(&self) -> Result<KronEigen<T, L::Like<'static, T>>> {
        self.symmetric_eigen_with(Symmetry::Rounding)
    }

    /// [`KronBase::symmetric_eigen`] of the symmetric parts of the factors, with a measure of how symmetric they must
    /// be.
    ///
    /// # Errors
    /// As [`KronBase::symmetric_eigen`].
    pub fn symmetric_eigen_with(&self, symmetry: Symmetry<T>) -> Result<KronEigen<T, L::Like<'static, T>>> {
        self.eigen("symmetric_eigen", symmetry)
    }

    pub(super) fn eigen(
        &self,
        operation: &'static str,
        symmetry: Symmetry<T>,
    ) -> Result<KronEigen<T, L::Like<'static, T>>> {
        self.check_square_factors(operation)?;
        let mut values = Vec::with_capacity(self.factors().len());
        let vectors = self.try_map(self.dim(), |name, factor| {
            let (of_factor, vectors) = decomposed(operation, name, factor, symmetry)?;
            values.push(of_factor);
            Ok(vectors)
        })?;
        Ok(KronEigen::new(vectors, Spectrum::new(operation, Combine::Product, &values)?))
    }

    pub(super) fn check_square_factors(&self, operation: &'static str) -> Result<()> {
        self.named().try_for_each(|(name, factor)| KronError::check_square(operation, name, factor.dim()).map(drop))
    }
}

/// The eigenvalues and the eigenvectors of a symmetric factor.
pub(super) fn decomposed<T: Scalar>(
    operation: &'static str,
    name: &'static str,
    factor: &Factor<'_, T>,
    symmetry: Symmetry<T>,
) -> Result<(OfFactor<T, T>, Factor<'static, T>)> {
    let Scaled { result, power } = scaled_symmetric_eigen(operation, name, factor, symmetry)?;
    let SymmetricEigen { values, vectors, residuals } = result;
    Ok((OfFactor { values, residuals, power }, Factor::from(vectors)))
}

impl<T: Scalar, L: FactorList<Elem = T>> KronEigen<T, L> {
    pub(super) fn new(vectors: KronBase<L>, spectrum: Spectrum<T, T>) -> Self {
        Self { vectors, spectrum, sorted: OnceLock::new() }
    }

    /// The eigenvalues, ascending.
    #[must_use]
    pub fn values(&self) -> ArrayView1<'_, T> {
        self.sorted().values.view()
    }

    pub(super) fn into_values(self) -> Array1<T> {
        match self.sorted.into_inner() {
            Some(sorted) => sorted.values,
            None => sort(self.spectrum.values.view(), 1).values,
        }
    }

    /// For each value, from which eigenvalues of `A` and of `B` (each ascending) it is made. Equal values keep the
    /// order of their pairs. Of more factors: from which of the first, and which of all the others together, in the
    /// order of the grid; [`KronEigen::indices`] has one index for each factor.
    #[must_use]
    pub fn pairs(&self) -> &[(usize, usize)] {
        &self.sorted().pairs
    }

    /// From which eigenvalue of each factor (each ascending) the `index`-th value is made.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`].
    pub fn indices(&self, index: usize) -> Result<Vec<usize>> {
        let mut column = self.column_of("indices", index)?;
        let mut indices: Vec<usize> = self.vectors.factors().iter().rev().map(Factor::ncols).collect();
        for index in &mut indices {
            (*index, column) = (column % *index, column / *index);
        }
        indices.reverse();
        Ok(indices)
    }

    /// `Q₁ ⊗ … ⊗ Q_k`, orthogonal. Its columns are not sorted: they are in the order of the [grid](KronEigen::grid).
    /// With two factors the eigenvector of the `index`-th value is column `i·side(B) + j` with
    /// `(i, j) = pairs()[index]`.
    #[must_use]
    pub fn vectors(&self) -> &KronBase<L> {
        &self.vectors
    }

    /// The eigenvector of the `index`-th value, of length one.
    ///
    /// # Errors
    /// [`KronError::OutOfBounds`].
    pub fn vector(&self, index: usize) -> Result<Array1<T>> {
        self.vectors.column(self.column_of("vector", index)?)
    }

    /// The column of the vectors that belongs to the `index`-th value.
    fn column_of(&self, operation: &'static str, index: usize) -> Result<usize> {
        let outside = KronError::OutOfBounds { operation, row: 0, col: index, shape: self.vectors.dim() };
        let &(i, j) = self.pairs().get(index).ok_or(outside)?;
        Ok(i * self.rest() + j)
    }

    fn sorted(&self) -> &Sorted<T> {
        self.sorted.get_or_init(|| sort(self.spectrum.values.view(), self.rest()))
    }

    /// Eigenvalues of all factors but the first.
    fn rest(&self) -> usize {
        self.vectors.factors().iter().skip(1).map(Factor::ncols).product()
    }
}

impl<T: Scalar> KronEigen<T> {
    /// The eigenvalues, not sorted: that of column `i·side(B) + j` of the vectors at `[i, j]`.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::Kron;
    /// # use ndarray::array;
    /// let k = Kron::new(array![[1.0, 0.0], [0.0, 2.0]], array![[5.0, 0.0], [0.0, 3.0]])?;
    /// let eigen = k.symmetric_eigen()?;
    /// assert!((&eigen.grid() - &array![[3.0, 5.0], [6.0, 10.0_f64]]).iter().all(|x| x.abs() < 1e-14));
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn grid(&self) -> ArrayView2<'_, T> {
        view(self.spectrum.as_slice(), self.vectors.b().ncols())
    }
}

impl<T: Scalar> KronEigen<T, Vec<Factor<'static, T>>> {
    /// The eigenvalues, not sorted, with an axis for each factor: read row by row, in the order of the columns of the
    /// vectors.
    ///
    /// # Examples
    /// ```
    /// # use lokr_core::KronSum;
    /// # use ndarray::array;
    /// let sum = KronSum::new(array![[1.0, 0.0], [0.0, 2.0]], array![[5.0, 0.0], [0.0, 3.0]])?;
    /// let eigen = sum.symmetric_eigen()?;
    /// assert!((eigen.grid()[[0, 1]] - 6.0_f64).abs() < 1e-14); // 1 and 5, each the other way round in its list
    /// # Ok::<(), lokr_core::KronError>(())
    /// ```
    #[must_use]
    pub fn grid(&self) -> ArrayViewD<'_, T> {
        let sides: Vec<usize> = self.vectors.factors().iter().map(Factor::ncols).collect();
        let grid = ArrayViewD::from_shape(IxDyn(&sides), self.spectrum.as_slice());
        // There are as many values as the sides say.
        grid.unwrap_or_else(|_| self.spectrum.values.view().into_dyn())
    }
}

/// Equal vectors with equal eigenvalues.
impl<T: Scalar, L: FactorList<Elem = T>, M: FactorList<Elem = T>> PartialEq<KronEigen<T, M>> for KronEigen<T, L> {
    fn eq(&self, other: &KronEigen<T, M>) -> bool {
        self.vectors == other.vectors && self.spectrum.values == other.spectrum.values
    }
}

/// The first values of the vectors' factors, and the eigenvalues, not sorted.
impl<T: Scalar, L: FactorList<Elem = T>> Debug for KronEigen<T, L> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { vectors, spectrum, .. } = self;
        f.debug_struct("KronEigen").field("vectors", vectors).field("grid", &spectrum.values).finish()
    }
}

/// The values sorted, equal ones in their order, with their places in rows of `rest` of them.
fn sort<T: Scalar>(values: ArrayView1<'_, T>, rest: usize) -> Sorted<T> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&i, &j| values[i].partial_cmp(&values[j]).unwrap_or(Ordering::Equal).then(i.cmp(&j)));
    let pairs = order.iter().map(|&index| (index / rest, index % rest)).collect();
    Sorted { values: order.into_iter().map(|index| values[index]).collect(), pairs }
}
