//! Ranks that differ, and ranks that fail: everybody hears of it.

use crate::support::{Data, fit, network, plain_network, run};
use lokr_layers::{AllReduce, Communicator, Layer, LayerError, Progress, Sgd};
use lokr_mpi::Threads;

/// What every rank says of a run in which something is different on rank 1 of 3.
fn differ(change: impl Fn(&Threads, bool) -> Result<Vec<u64>, LayerError> + Sync) -> (&'static str, usize) {
    let errors = Threads::run(3, |ranks| change(ranks, ranks.rank() == 1).unwrap_err());
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    match &errors[0] {
        LayerError::RanksDiffer { what, step, ranks, size: 3 } if *ranks == [1] => (*what, *step),
        other => panic!("{other}"),
    }
}

#[test]
fn what_differs_at_the_start_is_named_with_the_rank() {
    let data = Data::new();
    let samples = data.samples();
    let mut others = Data::new();
    others.x[[3, 3]] += 1e-6;
    let other_samples = others.samples();
    let samples_differ = differ(|ranks, is_other| {
        let samples = if is_other { &other_samples } else { &samples };
        fit(run(ranks, samples), network(), samples)
    });
    assert_eq!(samples_differ, ("samples", 0));
    let seed = |ranks: &Threads, is_other: bool| fit(run(ranks, &samples).seed(is_other.into()), network(), &samples);
    assert_eq!(differ(seed), ("settings", 0));
    let parameters_differ = differ(|ranks, is_other| {
        let mut network = network();
        if is_other {
            let parameters = network.parameters().mapv(|value| value + 1e-3);
            network.set_parameters(&parameters).unwrap();
        }
        fit(run(ranks, &samples), network, &samples)
    });
    assert_eq!(parameters_differ, ("parameters", 0));
    let frozen_differ = differ(|ranks, is_other| {
        let mut network = network();
        if is_other {
            let mut layer = 0;
            network.visit_values_mut(&mut |name, mut values| {
                if name.starts_with("head") && layer == 0 {
                    values.mapv_inplace(|value| value * 1.5);
                    layer += 1;
                }
            });
        }
        network.freeze("head").unwrap();
        fit(run(ranks, &samples), network, &samples)
    });
    assert_eq!(frozen_differ, ("frozen values", 0));
}

#[test]
fn what_differs_later_is_found_by_the_next_checksum() {
    let data = Data::new();
    let samples = data.samples();
    let found = differ(|ranks, is_other| {
        // A rank whose memory fails: its optimizer makes another step than the others'.
        let mut network = plain_network();
        let mut optimizer = Failing { inner: Sgd::new(0.1).unwrap(), steps: 0, at: if is_other { 2 } else { 0 } };
        run(ranks, &samples).check_ranks_every(3).fit(&mut network, &mut optimizer, &samples).map(|_| Vec::new())
    });
    assert_eq!(found, ("parameters", 3));
}

struct Failing {
    inner: Sgd<f32>,
    steps: usize,
    at: usize,
}

impl lokr_layers::Optimizer<f32> for Failing {
    fn step(&mut self, network: &mut dyn Layer<f32>) -> Result<(), LayerError> {
        self.steps += 1;
        self.inner.step(network)?;
        if self.steps == self.at {
            network.visit_mut(&mut |_, mut values, _| values.mapv_inplace(|value| value * (1.0 + f32::EPSILON)));
        }
        Ok(())
    }
    fn learning_rate(&self) -> f64 {
        lokr_layers::Optimizer::learning_rate(&self.inner)
    }
    fn set_learning_rate(&mut self, rate: f64) -> Result<(), LayerError> {
        lokr_layers::Optimizer::set_learning_rate(&mut self.inner, rate)
    }
    fn reset(&mut self) {
        lokr_layers::Optimizer::reset(&mut self.inner);
    }
}

#[test]
fn an_error_says_what_and_who() {
    let error = LayerError::RanksDiffer { what: "parameters", step: 300, ranks: vec![2, 5], size: 8 };
    assert_eq!(error.to_string(), "2 of 8 ranks have other parameters than most, after step 300: rank 2, rank 5");
}

/// A rank that has an error ends the others' waiting.
#[test]
fn nobody_waits_for_a_rank_that_has_failed() {
    let data = Data::new();
    let samples = data.samples();
    let found = Threads::run(3, |ranks| {
        let own = ranks.rank();
        let save = run(ranks, &samples).save_every(4, |_| if own == 0 { Err("disk full") } else { Ok(()) });
        fit(save, network(), &samples).unwrap_err()
    });
    assert!(matches!(&found[0], LayerError::Output { message, .. } if message == "disk full"));
    for other in &found[1..] {
        assert!(matches!(other, LayerError::Communication { message, .. } if message.contains("has ended")), "{other}");
    }
}

#[test]
fn settings_out_of_range_are_refused_alone() {
    let data = Data::new();
    let samples = data.samples();
    Threads::run(2, |ranks| {
        for training in [run(ranks, &samples).check_ranks_every(0), run(ranks, &samples).fixed_order(0)] {
            let error = fit(training, network(), &samples).unwrap_err();
            assert!(matches!(error, LayerError::InvalidSetting { .. }), "{error}");
        }
        // The ranks are in step all the same.
        let mut values = [1.0_f32];
        ranks.sum(&mut values).unwrap();
        assert_eq!(values, [2.0]);
    });
}

#[test]
fn callbacks_are_called_on_every_rank() {
    let data = Data::new();
    let samples = data.samples();
    let counts = Threads::run(2, |ranks| {
        let mut steps = 0;
        let training = run(ranks, &samples).epochs(1).on_progress(|progress| {
            steps += usize::from(matches!(progress, Progress::Step(_)));
        });
        fit(training, network(), &samples).unwrap();
        steps
    });
    assert_eq!(counts, [3, 3]);
}
