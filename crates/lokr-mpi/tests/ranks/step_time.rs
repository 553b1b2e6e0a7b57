//! The formula of a step's time and the simulation agree where they must.

use lokr_mpi::{Cluster, Work, simulate};

const CLUSTER: Cluster = Cluster { latency: 5e-6, bandwidth: 1e9 };

#[test]
fn without_noise_the_simulation_is_the_formula() {
    for bytes in [0.0, 1e3, 1e7] {
        let work = Work { seconds_per_step: 1e-3, seconds_per_sample: 2e-5, bytes };
        for ranks in [1, 2, 4, 64, 1024] {
            // As many samples for each, so that all are ready at once.
            let formula = work.step(4 * ranks, ranks, &CLUSTER).total();
            let played = simulate(&work, 4 * ranks, ranks, &CLUSTER, 0.0, 3, 1).step;
            assert!((played / formula - 1.0).abs() < 1e-9, "{ranks} ranks, {bytes} bytes: {played} {formula}");
        }
        for ranks in [3, 5, 100] {
            let formula = work.step(4 * ranks, ranks, &CLUSTER).total();
            let played = simulate(&work, 4 * ranks, ranks, &CLUSTER, 0.0, 1, 1).step;
            assert!((played / formula - 1.0).abs() < 1e-9, "{ranks} ranks, {bytes} bytes: {played} {formula}");
        }
    }
}

#[test]
fn noise_costs_what_the_slowest_of_all_ranks_is_late() {
    let work = Work { seconds_per_step: 1e-3, seconds_per_sample: 0.0, bytes: 8.0 };
    let cluster = Cluster { latency: 0.0, bandwidth: 1e12 };
    for ranks in [2_usize, 64, 1024] {
        // The largest of p exponential numbers is 1 + 1/2 + … + 1/p on average.
        let expected = 1e-3 * (1.0 + 0.1 * (1..=ranks).map(|i| 1.0 / i as f64).sum::<f64>());
        let played = simulate(&work, ranks, ranks, &cluster, 0.1, 400, 7).step;
        assert!((played / expected - 1.0).abs() < 0.02, "{ranks} ranks: {played}, expected {expected}");
    }
}

#[test]
fn scaling_ends_where_a_message_costs_more_than_it_saves() {
    let small = Work { seconds_per_step: 0.0, seconds_per_sample: 1e-3, bytes: 3.2e4 };
    assert_eq!(small.fastest(64, 4096, &CLUSTER), 64, "no more ranks than samples");
    let large = Work { bytes: 6.7e7, ..small };
    assert_eq!(large.fastest(64, 4096, &CLUSTER), 1, "twice 67 MB take longer than 64 samples");
    assert!(small.speedup(64, 64, &CLUSTER) > 10.0);
    assert_eq!(small.speedup(64, 1, &CLUSTER), 1.0);
}
