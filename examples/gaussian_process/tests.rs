//! The example `gaussian_process` in small: its data, its training, its checks against dense matrices.
#![allow(clippy::unwrap_used)] // A helper that fails is a test that fails.

use crate::common::measure::Checks;
use crate::data::Temperature;
use crate::process::Parameters;
use crate::study::{Study, compare};

fn start(axes: usize) -> Parameters {
    Parameters { variance: 4.0, lengths: vec![2.0; axes], noise: 0.1 }
}

#[test]
fn the_grid_is_read_as_it_is_in_the_file() {
    let day = Temperature::load().unwrap();
    assert_eq!(day.values.dim(), (13, 33, 49));
    assert_eq!([day.axes[0][12], day.axes[1][0], day.axes[1][32], day.axes[2][48]], [24.0, 58.0, 50.0, 2.0]);
    assert_eq!((day.values[[0, 0, 0]], day.values[[0, 1, 0]]), (7.1, 7.4)); // lines 2 and 3
    let few = day.thinned([2, 4, 3]);
    assert_eq!(few.values.dim(), (7, 9, 17));
    assert_eq!(few.values[[1, 2, 3]], day.values[[2, 8, 9]]);
    assert_eq!(few.axes[2][3], day.axes[2][9]);
    assert_eq!(day.is_thinned([2, 4, 3]).iter().filter(|&&known| known).count(), few.values.len());
    assert_eq!(
        day.at(7).values.iter().collect::<Vec<_>>(),
        day.values.outer_iter().nth(7).unwrap().iter().collect::<Vec<_>>()
    );
}

#[test]
fn likelihood_gradient_mean_and_variance_are_those_of_dense_matrices() {
    let day = Temperature::load().unwrap();
    let mut checks = Checks::default();
    compare(&mut checks, &start(2), &Study::new(&day.at(7).thinned([1, 4, 4]), 1).unwrap()).unwrap();
    compare(&mut checks, &start(3), &Study::new(&day.thinned([2, 8, 8]), 2).unwrap()).unwrap();
    assert_eq!(checks.report().lines().count(), 10);
}

#[test]
fn training_raises_the_likelihood_and_what_it_finds_predicts_better_than_a_straight_line() {
    let map = Study::new(&Temperature::load().unwrap().at(7), 1).unwrap();
    let learned = map.learn(&start(2), 15).unwrap();
    let [first, .., last] = learned.likelihoods[..] else { panic!("too few steps") };
    assert!(last > first + 100.0, "{first} to {last}");
    let scores = learned.scores();
    let inside = scores.iter().filter(|score| score.abs() < 1.96).count() as f64 / scores.len() as f64;
    assert!((0.9..0.99).contains(&inside), "{inside}");
    let [found, linear] = [&learned.mean, &learned.study.interpolated().unwrap()].map(|mean| learned.study.error(mean));
    assert!(found < linear, "{found} and {linear}");
}
