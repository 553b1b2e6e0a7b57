//! How operators are printed: their shapes and a few values, however large they are.

use std::fmt::{self, Debug, Display, Formatter};

use ndarray::{ArrayView1, ArrayView2};

use super::factor::{Factor, LowRank};
use super::factor_list::FactorList;
use super::kron::KronBase;
use crate::scalar::Scalar;

/// So many rows of a matrix, columns of a row and factors of a chain are printed.
const SHOWN: usize = 4;

/// A matrix as `(rows, cols) [[…], …]`. Values are formatted by their `Debug`, which is short at the ends of the number
/// range, with the precision that was asked for.
struct Brief<'a, T>(ArrayView2<'a, T>);

impl<T: Debug> Debug for Brief<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (rows, cols) = self.0.dim();
        write!(f, "({rows}, {cols}) ")?;
        list(f, self.0.rows().into_iter(), |f, row| values(f, *row))
    }
}

fn values<T: Debug>(f: &mut Formatter<'_>, row: ArrayView1<'_, T>) -> fmt::Result {
    list(f, row.iter(), |f, value| value.fmt(f))
}

/// `[first, second, …]`, the first [`SHOWN`] of them.
fn list<I>(
    f: &mut Formatter<'_>,
    items: impl Iterator<Item = I>,
    mut item: impl FnMut(&mut Formatter<'_>, &I) -> fmt::Result,
) -> fmt::Result {
    f.write_str("[")?;
    for (index, shown) in items.take(SHOWN + 1).enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        if index == SHOWN {
            f.write_str("…")?;
        } else {
            item(f, &shown)?;
        }
    }
    f.write_str("]")
}

/// Its shape and first values: `Full((2, 1) [[1.0], [2.0]])`.
impl<T: Debug> Debug for Factor<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(matrix) => {
                f.write_str("Full(")?;
                Brief(matrix.view()).fmt(f)?;
                f.write_str(")")
            }
            Self::LowRank(low) => low.fmt(f),
        }
    }
}

/// The shapes and first values of its halves.
impl<T: Debug> Debug for LowRank<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("LowRank(")?;
        Brief(self.left.view()).fmt(f)?;
        f.write_str(" · ")?;
        Brief(self.right.view()).fmt(f)?;
        f.write_str(")")
    }
}

/// The shapes and first values of its factors, or of the first of them.
impl<L: FactorList> Debug for KronBase<L> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", L::TYPE)?;
        let factors = self.factors();
        for (index, factor) in factors.iter().take(SHOWN).enumerate() {
            f.write_str(if index == 0 { "" } else { " ⊗ " })?;
            Debug::fmt(factor, f)?;
        }
        more(f, factors.len())?;
        f.write_str(")")
    }
}

/// ` ⊗ … (7 more)`, if so many factors are not printed.
fn more(f: &mut Formatter<'_>, factors: usize) -> fmt::Result {
    match factors.saturating_sub(SHOWN) {
        0 => Ok(()),
        more => write!(f, " ⊗ … ({more} more)"),
    }
}

/// Its shape and first values; of a low-rank factor those of both halves.
///
/// # Examples
/// ```
/// # use lokr_core::Factor;
/// # use ndarray::{Array2, array};
/// let full = Factor::from(Array2::<f32>::ones((2, 1000)));
/// assert_eq!(full.to_string(), "(2, 1000) [[1.0, 1.0, 1.0, 1.0, …], [1.0, 1.0, 1.0, 1.0, …]]");
/// let low = Factor::low_rank(array![[1.0], [2.0]], array![[3.0, 4.0]])?;
/// assert_eq!(low.to_string(), "(2, 2) of rank 1 = (2, 1) [[1.0], [2.0]] · (1, 2) [[3.0, 4.0]]");
/// # Ok::<(), lokr_core::KronError>(())
/// ```
impl<T: Scalar> Display for Factor<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(matrix) => Brief(matrix.view()).fmt(f),
            Self::LowRank(low) => {
                let (rows, cols) = self.dim();
                write!(f, "({rows}, {cols}) of rank {} = ", low.rank())?;
                Brief(low.left()).fmt(f)?;
                f.write_str(" · ")?;
                Brief(low.right()).fmt(f)
            }
        }
    }
}

/// The shapes, then a line of values for each of the first factors. A precision, as in `{:.2}`, goes to the values.
///
/// # Examples
/// ```
/// # use lokr_core::{Kron, KronChain};
/// # use ndarray::array;
/// let k = Kron::new(array![[1.0, 2.0]], array![[0.25], [1e-9]])?;
/// assert_eq!(k.to_string(), "(2, 2) = (1, 2) ⊗ (2, 1)\nA = (1, 2) [[1.0, 2.0]]\nB = (2, 1) [[0.25], [1e-9]]");
/// assert!(format!("{k:.1}").ends_with("A = (1, 2) [[1.0, 2.0]]\nB = (2, 1) [[0.2], [0.0]]"));
/// let a = array![[1.0, 2.0]];
/// let chain = KronChain::power(&a, 3)?;
/// assert!(chain.to_string().starts_with("(1, 8) = (1, 2) ⊗ (1, 2) ⊗ (1, 2)\nA₁ = (1, 2) [[1.0, 2.0]]\n"));
/// # Ok::<(), lokr_core::KronError>(())
/// ```
impl<L: FactorList> Display for KronBase<L> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ((height, width), factors) = (self.dim, self.factors());
        write!(f, "({height}, {width}) =")?;
        for (index, factor) in factors.iter().take(SHOWN).enumerate() {
            let (rows, cols) = factor.dim();
            write!(f, "{} ({rows}, {cols})", if index == 0 { "" } else { " ⊗" })?;
        }
        more(f, factors.len())?;
        for (name, factor) in self.named().take(SHOWN) {
            write!(f, "\n{name} = ")?;
            Display::fmt(factor, f)?;
        }
        f.write_str(if factors.len() > SHOWN { "\n…" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Kron, KronChain};
    use ndarray::Array2;

    /// However large, a few values: nobody's terminal is flooded.
    #[test]
    fn large_operators_print_short() {
        let a = Array2::<f64>::from_elem((1000, 1000), 1e-200);
        let low = Factor::low_rank(a.clone(), a.clone()).unwrap();
        let kron = Kron::new(&a, low.view()).unwrap();
        let chain = KronChain::new(vec![a.slice(ndarray::s![..2, ..2]); 50]).unwrap();
        for text in [
            format!("{low} {low:?} {low:#?}"),
            format!("{kron} {kron:?} {kron:#?}"),
            format!("{chain} {chain:?} {chain:#?}"),
        ] {
            assert!(text.len() < 2500, "{} bytes", text.len());
        }
        assert!(chain.to_string().contains("⊗ … (46 more)\n"));
    }

    #[test]
    fn debug_names_the_kind_and_the_shapes() {
        let low = Factor::low_rank(Array2::<f32>::ones((1, 2)), Array2::ones((2, 1))).unwrap();
        let kron = Kron::new(Array2::zeros((1, 1)), low).unwrap();
        assert_eq!(
            format!("{kron:?}"),
            "Kron(Full((1, 1) [[0.0]]) ⊗ LowRank((1, 2) [[1.0, 1.0]] · (2, 1) [[1.0], [1.0]]))"
        );
        let chain = KronChain::<f32>::new([Array2::ones((1, 1)), Array2::zeros((2, 1))]).unwrap();
        assert_eq!(format!("{chain:?}"), "KronChain(Full((1, 1) [[1.0]]) ⊗ Full((2, 1) [[0.0], [0.0]]))");
        let none = Factor::from(Array2::<f32>::zeros((0, 3)));
        assert_eq!(none.to_string(), "(0, 3) []");
    }
}
