//! What a factor is made of: arrays of every ownership, views and references.
//!
//! Whatever takes `impl Into<Factor>` takes all of these. A list has elements of one type; one that mixes owned and
//! borrowed matrices is written with [`Factor::from`] around each.

use ndarray::{ArcArray2, Array2, ArrayBase, ArrayRef2, ArrayView2, CowArray, Data, Ix2};

use super::factor::{Factor, LowRank};
use crate::scalar::Scalar;

/// Owned by the factor from now on.
impl<T> From<Array2<T>> for Factor<'_, T> {
    fn from(matrix: Array2<T>) -> Self {
        Self::Full(CowArray::from(matrix))
    }
}

/// Borrowed.
impl<'a, T> From<ArrayView2<'a, T>> for Factor<'a, T> {
    fn from(matrix: ArrayView2<'a, T>) -> Self {
        Self::Full(CowArray::from(matrix))
    }
}

/// Borrowed or owned, as it is.
impl<'a, T> From<CowArray<'a, T, Ix2>> for Factor<'a, T> {
    fn from(matrix: CowArray<'a, T, Ix2>) -> Self {
        Self::Full(matrix)
    }
}

/// Taken over when nobody else shares it, else copied. To share it without a copy, pass a reference.
impl<T: Scalar> From<ArcArray2<T>> for Factor<'_, T> {
    fn from(matrix: ArcArray2<T>) -> Self {
        Self::from(matrix.into_owned())
    }
}

/// Borrowed, whatever owns the array.
impl<'a, T, S: Data<Elem = T>> From<&'a ArrayBase<S, Ix2>> for Factor<'a, T> {
    fn from(matrix: &'a ArrayBase<S, Ix2>) -> Self {
        Self::Full(CowArray::from(matrix.view()))
    }
}

/// Borrowed.
impl<'a, T> From<&'a ArrayRef2<T>> for Factor<'a, T> {
    fn from(matrix: &'a ArrayRef2<T>) -> Self {
        Self::Full(CowArray::from(matrix.view()))
    }
}

/// Stays low-rank.
impl<'a, T> From<LowRank<'a, T>> for Factor<'a, T> {
    fn from(halves: LowRank<'a, T>) -> Self {
        Self::LowRank(halves)
    }
}

/// Borrowed; a low-rank factor stays low-rank.
impl<'a, T: Scalar> From<&'a Factor<'_, T>> for Factor<'a, T> {
    fn from(factor: &'a Factor<'_, T>) -> Self {
        factor.view()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Kron, KronChain};
    use lokr_testing::matrix;

    fn every_kind_of_array<T: Scalar>() {
        let (a, b) = (matrix::<T>(2, 3, 1), matrix::<T>(5, 1, 2));
        let shared = a.clone().into_shared();
        let (cow, factor) = (CowArray::from(&a), Factor::from(&a));
        let expected = Kron::new(a.clone(), b.clone()).unwrap();
        let made = [
            Kron::new(&a, b.clone()),
            Kron::new(a.view(), &b),
            Kron::new(cow.clone(), b.clone()),
            Kron::new(&cow, b.clone().into_shared()),
            Kron::new(&shared, &*b),
            Kron::new(&factor, b.view()),
            Kron::new(shared.clone(), b.clone()),
        ];
        made.into_iter().for_each(|kron| assert_eq!(kron.as_ref(), Ok(&expected)));
        assert_eq!(shared, a);

        let mixed = [
            Factor::from(a.clone()),
            Factor::from(&a),
            Factor::from(cow.view()),
            Factor::from(cow.clone()),
            Factor::from(shared),
        ];
        let chain = KronChain::new(mixed).unwrap();
        assert!(chain.factors().iter().all(|factor| factor.dense() == a));
        assert_eq!(KronChain::new([cow.clone(), cow]).unwrap().dim(), (4, 9));
    }

    #[test]
    fn every_kind_of_array_is_taken_in_f32_and_f64() {
        every_kind_of_array::<f32>();
        every_kind_of_array::<f64>();
    }

    #[test]
    fn owned_arrays_are_not_copied_on_the_way_in_and_out() {
        let (a, shared) = (matrix::<f64>(2, 3, 1), matrix::<f64>(5, 7, 2).into_shared());
        let addresses = (a.as_ptr(), shared.as_ptr());
        let (a, b) = Kron::new(a, shared).unwrap().into_parts();
        let (a, b) = (a.into_dense(), b.into_dense());
        assert_eq!((a.as_ptr(), b.as_ptr()), addresses);
        let parts = KronChain::new([Factor::from(a), Factor::from(&b)]).unwrap().into_parts();
        let [first, second] = parts.try_into().unwrap();
        assert!(matches!(&first, Factor::Full(matrix) if matrix.is_owned() && matrix.as_ptr() == addresses.0));
        assert!(matches!(&second, Factor::Full(matrix) if matrix.is_view() && matrix.as_ptr() == addresses.1));
    }

    #[test]
    fn a_low_rank_factor_stays_low_rank() {
        let (left, right) = (matrix::<f64>(5, 2, 1), matrix(2, 3, 2));
        let factor = Factor::low_rank(left.clone().into_shared(), CowArray::from(&right)).unwrap();
        let kron = Kron::new(&factor, array_of_one()).unwrap();
        assert_eq!(kron.a(), &factor);
        assert_eq!(kron.parameter_count(), 17);
        let chain = KronChain::new([&factor]).unwrap();
        assert_eq!(chain.factors(), [factor.view()]);
        assert_eq!(chain.to_dense().unwrap(), factor.to_dense());
        let nested = Factor::low_rank(factor.clone(), matrix(3, 4, 3)).unwrap();
        assert_eq!((nested.dim(), nested.rank_bound()), ((5, 4), 3));
    }

    fn array_of_one() -> Array2<f64> {
        Array2::ones((1, 1))
    }

    #[test]
    fn writable_parts_and_ownership_of_a_chain() {
        let a = matrix::<f64>(2, 3, 1);
        let mut chain = KronChain::power(&a, 2).unwrap();
        chain.parts_mut().for_each(|mut part| part.fill(2.0));
        assert_eq!(chain.to_dense().unwrap(), Array2::from_elem((4, 9), 4.0));
        assert_eq!(a, matrix(2, 3, 1));
        assert_eq!(chain.view(), chain);
        let owned: KronChain<'static, f64> = KronChain::new([&a]).unwrap().into_owned();
        assert_eq!(owned.to_dense().unwrap(), a);
    }
}
