//! The example `deblur` in small: its photograph, its rules, its checks against dense matrices.
#![allow(clippy::unwrap_used)] // A helper that fails is a test that fails.

use crate::blur::{Edge, gaussian};
use crate::{checks, photo};
use ndarray::{Array1, Array2, array};

#[test]
fn the_photograph_is_read_by_colours() {
    let image = photo::load().unwrap();
    assert_eq!(image.dim(), (3, 60, 90));
    assert!(image.iter().all(|value| (0.0..=1.0).contains(value)));
    assert_eq!(image[[0, 0, 0]], f64::from(0x92) / 255.0);
    assert_eq!(image[[1, 0, 0]], f64::from(0x7b) / 255.0);
    assert_eq!(photo::rounded(&image), image);
}

#[test]
fn a_blur_keeps_grey_and_mirrors_at_the_edges() {
    for (n, edge) in [(1, Edge::Mirror), (4, Edge::Mirror), (20, Edge::Mirror), (20, Edge::Unknown)] {
        let blur = gaussian(n, 1.3, edge);
        assert_eq!(blur.dim(), (if edge == Edge::Mirror { n } else { n - 8 }, n));
        let grey = blur.dot(&Array1::<f64>::ones(n));
        assert!(grey.iter().all(|value| (value - 1.0).abs() < 1e-14), "{grey}");
    }
    let mirrored = gaussian(20, 1.3, Edge::Mirror);
    assert_eq!(mirrored.slice(ndarray::s![4..16, ..]), gaussian(20, 1.3, Edge::Unknown));
    assert_eq!(gaussian(3, 0.0, Edge::Mirror), Array2::<f64>::eye(3));
    // Two pixels: each sees itself and the other, which the mirrors repeat.
    let two = gaussian(2, 0.3, Edge::Mirror);
    let (here, beside) = (1.0, (-0.5_f64 / 0.09).exp());
    let expected: Array2<f64> = array![[here + beside, beside], [beside, here + beside]] / (here + 2.0 * beside);
    assert!((two - expected).iter().all(|difference| difference.abs() < 1e-15));
}

#[test]
fn every_restoration_is_that_of_dense_matrices() {
    let report = checks::against_dense(&photo::load().unwrap()).unwrap();
    assert_eq!(report.lines().count(), 8, "{report}");
}
