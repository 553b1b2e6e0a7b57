//! Operators written and read by `serde`, with the feature of that name.
//!
//! Not among the unit tests: `serde_json` compares its values with numbers, and with it in sight the element types of
//! every other test would have to be spelled out.

#![allow(clippy::unwrap_used)] // A helper that fails is a test that fails.

use lokr_core::{Factor, Kron, KronChain, KronSum, KronTerms, Scalar};
use lokr_testing::matrix;
use ndarray::Array2;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn there_and_back<T: Scalar + Serialize + DeserializeOwned>(scales: [f64; 3]) {
    for scale in scales.map(T::from_f64_lossy) {
        let full = matrix::<T>(3, 5, 1);
        let fortran = matrix::<T>(5, 3, 2).reversed_axes();
        let low = Factor::low_rank(matrix::<T>(7, 2, 3), matrix(2, 1, 4)).unwrap();
        let none = Factor::low_rank(Array2::<T>::zeros((2, 0)), Array2::zeros((0, 3))).unwrap();
        for a in [Factor::from(&full), Factor::from(&fortran), low.view(), none.view()] {
            let kron = Kron::new(a, low.view()).unwrap() * scale;
            let read: Kron<'static, T> = serde_json::from_str(&serde_json::to_string(&kron).unwrap()).unwrap();
            assert_eq!(read, kron);
            assert_eq!(read.parameter_count(), kron.parameter_count());
        }
        let chain = KronChain::new([full.view(), fortran.view(), full.view()]).unwrap() * scale;
        let read: KronChain<'static, T> = serde_json::from_str(&serde_json::to_string(&chain).unwrap()).unwrap();
        assert_eq!(read, chain);
        let square = Factor::low_rank(matrix::<T>(3, 1, 1), matrix(1, 3, 2)).unwrap();
        let sum = KronSum::new(matrix(2, 2, 1), square).unwrap() * scale;
        let json = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<KronSum<'static, T>>(&json).unwrap(), sum);
        let error = serde_json::from_str::<KronSum<'static, T>>(&json.replace("[2,2]", "[1,4]")).unwrap_err();
        assert!(error.to_string().starts_with("Kronecker sum: A has shape (1, 4) and must be square"), "{error}");
        let (k, l) = (Kron::new(&full, low.view()).unwrap(), Kron::new(matrix::<T>(7, 5, 5), matrix(3, 1, 6)).unwrap());
        let terms = (&k * scale + &l).unwrap();
        let json = serde_json::to_string(&terms).unwrap();
        assert_eq!(serde_json::from_str::<KronTerms<'static, T>>(&json).unwrap(), terms);
    }
}

#[test]
fn f32_and_f64_are_read_as_they_were_written() {
    there_and_back::<f32>([1.0, 1e-30, 1e30]);
    there_and_back::<f64>([1.0, 1e-200, 1e200]);
}

#[test]
fn what_is_wrong_is_named() {
    let kron = |a: &str| {
        let json = format!(r#"{{"a": {a}, "b": {{"full": {{"shape": [1, 1], "values": [1.0]}}}}}}"#);
        serde_json::from_str::<Kron<'static, f64>>(&json).unwrap_err().to_string()
    };
    for (a, error) in [
        (r#"{"full": {"shape": [2, 3], "values": [1, 2]}}"#, "a factor has shape (2, 3), which 2 values do not fill"),
        (
            r#"{"full": {"shape": [18446744073709551615, 2], "values": [1]}}"#,
            "a factor has shape (18446744073709551615, 2), which 1 values do not fill",
        ),
        (r#"{"full": {"shape": [0, 3], "values": []}}"#, "factor A has shape (0, 3), but a factor needs"),
        (
            r#"{"low_rank": {"left": {"shape": [2, 1], "values": [1, 2, 3]}, "right": {"shape": [1, 1], "values": [1]}}}"#,
            "the left half has shape (2, 1), which 3 values do not fill",
        ),
        (
            r#"{"low_rank": {"left": {"shape": [1, 2], "values": [1, 2]}, "right": {"shape": [1, 1], "values": [1]}}}"#,
            "low-rank factor: left half has shape (1, 2) and right half (1, 1)",
        ),
        (r#"{"full": {"shape": [1, 1]}}"#, "missing field `values`"),
        (r#"{"diagonal": {}}"#, "unknown variant `diagonal`, expected `full` or `low_rank`"),
    ] {
        let found = kron(a);
        assert!(found.starts_with(error), "{found}");
    }
    let chain = r#"{"factors": [{"full": {"shape": [0, 3], "values": []}}]}"#;
    let error = serde_json::from_str::<KronChain<'static, f64>>(chain).unwrap_err().to_string();
    assert!(error.starts_with("factor A₁ has shape (0, 3)"), "{error}");
    let terms = |weights: &str, terms: &str| {
        let json = format!(r#"{{"weights": {weights}, "terms": {terms}}}"#);
        serde_json::from_str::<KronTerms<'static, f64>>(&json).unwrap_err().to_string()
    };
    assert!(terms("[1.0]", "[]").starts_with("a sum of 0 products has 1 weights"));
    assert!(terms("[]", "[]").starts_with("KronTerms::new: the number of terms is zero"));
}
