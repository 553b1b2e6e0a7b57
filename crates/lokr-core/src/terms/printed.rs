//! How a sum of products is printed and compared.

use std::fmt::{self, Debug, Display, Formatter};

use super::kron_terms::KronTerms;
use crate::scalar::Scalar;

/// So many terms are printed.
const SHOWN: usize = 4;

/// The number of its terms, and the first of them with their shapes and first values.
impl<T: Scalar> Debug for KronTerms<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "KronTerms({} terms: [", self.terms().len())?;
        for (index, (weight, term)) in self.pairs().take(SHOWN).enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            Debug::fmt(&weight, f)?;
            f.write_str(" · ")?;
            Debug::fmt(term, f)?;
        }
        f.write_str(if self.terms().len() > SHOWN { ", …])" } else { "])" })
    }
}

/// Shape and number of terms, then the first terms as products are printed, each after its weight. A precision, as in
/// `{:.2}`, goes to the values.
///
/// # Examples
/// ```
/// # use lokr_core::{Kron, KronTerms};
/// # use ndarray::array;
/// let sum = KronTerms::new([(0.5, Kron::new(array![[1.0, 2.0]], array![[3.0]])?)])?;
/// assert_eq!(
///     sum.to_string(),
///     "(1, 2), a sum of 1 terms\n0.5 · (1, 2) = (1, 2) ⊗ (1, 1)\nA = (1, 2) [[1.0, 2.0]]\nB = (1, 1) [[3.0]]"
/// );
/// # Ok::<(), lokr_core::KronError>(())
/// ```
impl<T: Scalar> Display for KronTerms<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ((height, width), terms) = (self.dim(), self.terms().len());
        write!(f, "({height}, {width}), a sum of {terms} terms")?;
        for (weight, term) in self.pairs().take(SHOWN) {
            f.write_str("\n")?;
            Debug::fmt(&weight, f)?;
            f.write_str(" · ")?;
            Display::fmt(term, f)?;
        }
        if terms > SHOWN { write!(f, "\n… ({} more)", terms - SHOWN) } else { Ok(()) }
    }
}

/// The weights and the products are equal, one by one, and as many. (Sums of other terms are other operators here, even
/// where the matrices are equal.)
impl<'b, T: Scalar> PartialEq<KronTerms<'b, T>> for KronTerms<'_, T> {
    fn eq(&self, other: &KronTerms<'b, T>) -> bool {
        self.weights == other.weights
            && self.terms.len() == other.terms.len()
            && self.terms.iter().zip(&other.terms).all(|(x, y)| x == y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Kron;
    use lokr_testing::matrix;
    use ndarray::{Array2, array};

    #[test]
    fn what_is_owned_and_what_is_borrowed_are_equal() {
        let k = Kron::new(matrix::<f64>(2, 3, 1), matrix(3, 2, 2)).unwrap();
        let (borrowed, owned) = (KronTerms::from(&k), KronTerms::from(k.clone()));
        assert_eq!(borrowed, owned);
        assert_ne!(borrowed, &owned * 2.0);
        assert_ne!(borrowed, owned.clone().plus(&k).unwrap());
        assert_ne!(borrowed, KronTerms::from(-&k));
    }

    #[test]
    fn many_large_terms_print_short() {
        let a = Array2::<f64>::from_elem((300, 300), 1e-200);
        let k = Kron::new(&a, &a).unwrap();
        let sum = KronTerms::new((0..50).map(|t| (f64::from(t), k.view()))).unwrap();
        for text in [sum.to_string(), format!("{sum:?}"), format!("{sum:#?}")] {
            assert!(text.len() < 3000, "{} bytes", text.len());
        }
        assert!(sum.to_string().ends_with("\n… (46 more)"));
        assert!(format!("{sum:.1}").contains("0.0 · (90000, 90000) = (300, 300) ⊗ (300, 300)\nA"));
        let small = KronTerms::new([(-0.5_f32, Kron::new(array![[1.0]], array![[2.0]]).unwrap())]).unwrap();
        let text = "KronTerms(1 terms: [-0.5 · Kron(Full((1, 1) [[1.0]]) ⊗ Full((1, 1) [[2.0]]))])";
        assert_eq!(format!("{small:?}"), text);
    }
}
