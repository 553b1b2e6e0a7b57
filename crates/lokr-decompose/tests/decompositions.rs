//! Every decomposition gives back the matrix it is of. Here and not beside the functions, which would be compiled a
//! second time for it.
#![allow(clippy::unwrap_used)] // A helper that fails is a test that fails.

use lokr_decompose::{Decompositions, Storage, System};
use lokr_testing::{assert_close, matrix};
use ndarray::{Array1, Array2, ArrayRef2, LinalgScalar, NdFloat};
use num_complex::Complex;

const SIZES: [usize; 5] = [1, 2, 3, 7, 40];

fn square<T: NdFloat>(size: usize) -> Array2<T> {
    matrix::<T>(size, size, 1)
}

fn symmetric<T: NdFloat>(size: usize) -> Array2<T> {
    let square = square::<T>(size);
    &square + &square.t()
}

fn number<T: NdFloat>(value: f64) -> T {
    T::from(value).unwrap()
}

/// As plain sums: where the features of other crates give `ndarray` a BLAS, nothing here links one.
fn product<T: LinalgScalar>(a: &ArrayRef2<T>, b: &ArrayRef2<T>) -> Array2<T> {
    let element = |(i, j)| a.row(i).iter().zip(b.column(j)).fold(T::zero(), |sum, (&a, &b)| sum + a * b);
    Array2::from_shape_fn((a.nrows(), b.ncols()), element)
}

fn near<T: NdFloat>(found: &Array2<T>, expected: &Array2<T>) {
    assert_eq!(found.dim(), expected.dim());
    // Sums of squares, and a few steps of iteration.
    assert_close(found, expected, 64 * found.nrows().max(found.ncols()), "rebuilt");
}

fn give_back_the_matrix<T: NdFloat>(of: Decompositions<T>) {
    for (rows, cols) in [(1, 1), (2, 3), (7, 2), (5, 5), (40, 13), (3, 1)] {
        let m = matrix::<T>(rows, cols, 2);
        let svd = (of.thin_svd)(m.view()).unwrap();
        near(&product(&(&svd.u * &svd.s), &svd.v.t()), &m);
        near(&product(&svd.u.t(), &svd.u), &Array2::eye(rows.min(cols)));
        let values = (of.singular_values)(m.view()).unwrap();
        near(&values.insert_axis(ndarray::Axis(0)), &svd.s.insert_axis(ndarray::Axis(0)));
        if rows >= cols {
            let (q, r) = (of.thin_qr)(m.view());
            near(&product(&q, &r), &m);
            near(&product(&q.t(), &q), &Array2::eye(cols));
            assert!(r.indexed_iter().all(|((i, j), &value)| i <= j || value == T::zero()));
        }
    }
    for size in SIZES {
        let m = symmetric::<T>(size);
        let (values, vectors) = (of.symmetric_eigen)(m.view()).unwrap();
        near(&product(&(&vectors * &values), &vectors.t()), &m);
        assert!(values.windows(2).into_iter().all(|pair| pair[0] <= pair[1]));

        let m = square::<T>(size);
        let skew = &m - &m.t();
        let (h, u) = (of.skew_eigen)(skew.view()).unwrap();
        let i_h: Array1<Complex<T>> = h.mapv(|h| Complex::new(T::zero(), h));
        let rebuilt = product(&(&u * &i_h), &u.t().mapv(|value| value.conj()));
        near(&rebuilt.mapv(|value| value.re), &skew);
        near(&rebuilt.mapv(|value| value.im), &Array2::zeros((size, size)));

        let (h, q) = (of.hessenberg)(m.view());
        near(&product(&product(&q, &h), &q.t()), &m);
        assert!(h.indexed_iter().all(|((i, j), &value)| i <= j + 1 || value == T::zero()));
        let sum: Complex<T> = (of.eigenvalues)(m.view()).unwrap().sum();
        let trace = |value| Array2::from_elem((1, 1), number::<T>(size as f64) + value);
        near(&trace(sum.re), &trace(m.diag().sum()));
        near(&trace(sum.im), &trace(T::zero()));
    }
}

fn solve_systems<T: NdFloat>(of: Decompositions<T>) {
    for size in SIZES {
        let m = square::<T>(size) + Array2::<T>::eye(size) * number::<T>(size as f64);
        let definite = product(&m, &m.t());
        let lower = (of.cholesky_lower)(definite.view()).unwrap();
        near(&product(&lower, &lower.t()), &definite);
        assert_eq!((of.cholesky_lower)((&definite * -T::one()).view()), None);

        let negative = &definite * -T::one();
        for (m, lu) in [
            (&m, (of.lu)(m.view())),
            (&definite, (of.lu_of_cholesky)(lower.view(), false)),
            (&negative, (of.lu_of_cholesky)(lower.view(), true)),
        ] {
            near(&product(&(of.lu_inverse)(&lu), m), &Array2::eye(size));
            let x = matrix::<T>(size, 3, 4);
            let mut memory = (of.lu_memory)(&[(size, 3)]);
            let mut solve = |system, mut rhs: Array2<T>| {
                (of.lu_solve)(&lu, system, rhs.as_slice_mut().unwrap(), Storage::RowMajor, &mut memory);
                rhs
            };
            near(&solve(System::Plain, product(m, &x)), &x);
            near(&solve(System::Transposed, product(&m.t(), &x)), &x);
            let mut columns: Vec<T> = product(m, &x).t().iter().copied().collect();
            (of.lu_solve)(&lu, System::Plain, &mut columns, Storage::ColumnMajor, &mut memory);
            near(&Array2::from_shape_vec((3, size), columns).unwrap(), &x.t().to_owned());
        }
    }
    let swapped = (of.lu)(ndarray::array![[T::zero(), T::one()], [T::one(), T::zero()]].view());
    assert!(swapped.odd && swapped.pivots == [T::one(), T::one()]);
}

#[test]
fn decompositions_of_f32_and_f64_give_back_the_matrix() {
    give_back_the_matrix(lokr_decompose::f32());
    give_back_the_matrix(lokr_decompose::f64());
}

#[test]
fn eliminations_of_f32_and_f64_solve_systems() {
    solve_systems(lokr_decompose::f32());
    solve_systems(lokr_decompose::f64());
}
