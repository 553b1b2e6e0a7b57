//! Data-parallel training and training in one process give the same.

use std::ops::ControlFlow;
use std::sync::Mutex;

use crate::support::{Data, bits, fit, network, plain_network, run};
use lokr_layers::{
    AdamW, AllReduce, Communicator, CrossEntropy, Layer, Progress, Samples, Sgd, SingleProcess, Targets, Trainer,
    TrainingLog, TrainingState,
};
use lokr_mpi::{Metered, Threads};

#[test]
fn in_fixed_order_any_number_of_ranks_ends_with_the_same_bits() {
    let data = Data::new();
    let samples = data.samples();
    // Blocks that divide the batches and blocks that do not, and one for the whole batch; more ranks than blocks, and
    // than samples.
    for block in [1, 2, 3, 8] {
        let alone = fit(run(&SingleProcess, &samples).fixed_order(block), network(), &samples).unwrap();
        for size in [1, 2, 3, 5, 9] {
            let found =
                Threads::run(size, |ranks| fit(run(ranks, &samples).fixed_order(block), network(), &samples).unwrap());
            assert!(found.iter().all(|found| *found == alone), "{size} ranks, blocks of {block}");
        }
    }
}

#[test]
fn otherwise_they_end_with_the_same_but_for_rounding_and_all_ranks_with_the_same_bits() {
    let data = Data::new();
    let samples = data.samples();
    let parameters = |ranks: &dyn AllReduce<f32>, micro_batch: usize| {
        let mut network = plain_network();
        let training = run(ranks, &samples).micro_batch_size(micro_batch);
        let history = training.fit(&mut network, &mut Sgd::new(0.1).unwrap(), &samples).unwrap();
        (network.parameters(), bits(&network, &history))
    };
    let (alone, _) = parameters(&SingleProcess, 8);
    for (size, micro_batch) in [(2, 8), (3, 2), (5, 8), (9, 1), (23, 8)] {
        let found = Threads::run(size, |ranks| parameters(ranks, micro_batch));
        for (parameters, bits) in &found {
            assert_eq!(*bits, found[0].1, "{size} ranks");
            let off = (parameters - &alone).iter().fold(0.0_f32, |most, d| most.max(d.abs()));
            assert!(off < 1e-5, "{size} ranks, {off}");
        }
    }
    // With everything that draws, too, no rank leaves the others.
    let found = Threads::run(3, |ranks| fit(run(ranks, &samples), network(), &samples).unwrap());
    assert!(found.iter().all(|other| *other == found[0]));
}

/// The gradients of several adapters, and the loss, travel together.
#[test]
fn a_step_is_one_message_of_all_gradients() {
    let data = Data::new();
    let samples = data.samples();
    Threads::run(3, |ranks| {
        let mut network = plain_network();
        let count = network.parameter_count();
        let ranks = Metered::new(ranks);
        let mut before = 0;
        let mut messages = Vec::new();
        Trainer::new(CrossEntropy::new())
            .batch_size(8)
            .communicator(&ranks)
            .check_ranks_every(2)
            .on_progress(|_| {
                messages.push(ranks.traffic().bytes - before);
                before = ranks.traffic().bytes;
            })
            .fit(&mut network, &mut AdamW::new(0.05).unwrap(), &samples)
            .unwrap();
        let step = (count + 1) * size_of::<f32>();
        // The second step ends with a checksum.
        assert_eq!(messages[1..3], [step + 8, step]);
    });
}

#[test]
fn any_rank_may_stop_all_of_them() {
    let data = Data::new();
    let samples = data.samples();
    let stopped = Threads::run(3, |ranks| {
        let mut steps = 0;
        let own = ranks.rank();
        let training = run(ranks, &samples).on_progress(|progress| match progress {
            Progress::Step(report) => {
                steps = report.step;
                if own == 1 && report.step == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            _ => ControlFlow::Continue(()),
        });
        training.fit(&mut network(), &mut AdamW::new(0.05).unwrap(), &samples).unwrap();
        steps
    });
    assert_eq!(stopped, [4, 4, 4]);
}

#[test]
fn rank_0_saves_for_all_and_any_number_of_ranks_goes_on() {
    let data = Data::new();
    let samples = data.samples();
    let alone = fit(run(&SingleProcess, &samples).fixed_order(3), network(), &samples).unwrap();
    let saved = Mutex::new(Vec::new());
    Threads::run(3, |ranks| {
        let training = run(ranks, &samples).fixed_order(3).save_every(2, |state: &TrainingState<f32>| {
            assert_eq!(ranks.rank(), 0);
            saved.lock().unwrap().push(state.clone());
            Ok::<(), String>(())
        });
        fit(training, network(), &samples).unwrap()
    });
    let saved = saved.into_inner().unwrap();
    assert_eq!(saved.len(), 6);
    for (state, size) in saved.iter().zip([2, 1, 4, 3, 2, 5]) {
        let found = Threads::run(size, |ranks| {
            fit(run(ranks, &samples).fixed_order(3).resume(state.clone()), network(), &samples).unwrap()
        });
        assert!(found.iter().all(|found| *found == alone), "{size} ranks from step {}", state.counts["step"]);
    }
}

#[test]
fn rank_0_writes_the_log() {
    let data = Data::new();
    let samples = data.samples();
    let logs = Threads::run(2, |ranks| {
        let mut log = Vec::new();
        fit(run(ranks, &samples).log(TrainingLog::csv(&mut log)), network(), &samples).unwrap();
        log
    });
    assert!(!logs[0].is_empty());
    assert!(logs[1].is_empty());
}

/// More samples than an evaluation takes at a time, so that ranks share them.
#[test]
fn validation_is_shared_and_its_bits_stay() {
    let x = lokr_testing::matrix::<f32>(1100, 6, 5);
    let labels: Vec<usize> = (0..1100).map(|i| i % 3).collect();
    let validation = Samples::new(&x, Targets::Labels(&labels)).unwrap();
    let data = Data::new();
    let samples = data.samples();
    let report = |ranks: &dyn AllReduce<f32>| {
        let training = run(ranks, &validation).epochs(1).fixed_order(8);
        training.fit(&mut network(), &mut AdamW::new(0.05).unwrap(), &samples).unwrap()
    };
    let alone = report(&SingleProcess);
    for size in [2, 3, 4] {
        assert!(Threads::run(size, |ranks| report(ranks)).iter().all(|found| *found == alone), "{size} ranks");
    }
}
