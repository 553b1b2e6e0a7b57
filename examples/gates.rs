//! Layers of gates on the state of `n` qubits, each checked against a plain loop over the amplitudes, with times.
//!
//! A gate on one qubit is a Kronecker product of a 2 × 2 matrix and identities, a layer one of a matrix for each qubit.
//! The amplitudes here are real, and so are all gates.
//!
//! `cargo run --release --example gates`, or with a number of qubits: `… --example gates 16`.

use std::error::Error;
use std::time::Instant;

use lokr::core::{KronChain, kron_dense};
use ndarray::{Array1, Array2, array};

type Gate = Array2<f64>;

/// Qubits up to which the product is formed as a matrix: 2²² values.
const NAIVE_QUBITS: usize = 11;

fn main() -> Result<(), Box<dyn Error>> {
    let n: usize = std::env::args().nth(1).map_or(Ok(20), |n| n.parse())?;
    if !(2..=26).contains(&n) {
        return Err("a number of qubits from 2 to 26, please".into());
    }
    println!(
        "{n} qubits, {} amplitudes, {} threads; times in ms, the best of five",
        1 << n,
        rayon::current_num_threads()
    );
    println!("{:<28} {:>9} {:>11} {:>11} {:>9} {:>8}", "", "chain", "plain loop", "by hand", "naive", "error");
    let mut zero = Array1::zeros(1 << n);
    zero[0] = 1.0;

    let h = array![[1.0, 1.0], [1.0, -1.0]] * 0.5_f64.sqrt();
    let uniform = layer("Hadamards on all", &vec![h.clone(); n], &zero)?;
    let expected = 0.5_f64.powf(n as f64 / 2.0);
    check("the uniform state", uniform.iter().map(|value| (value - expected).abs()).fold(0.0, f64::max))?;

    let turns: Vec<Gate> = (1..=n).map(|qubit| turn(0.1 * qubit as f64)).collect();
    let turned = layer("turns of all", &turns, &uniform)?;
    let back: Vec<Gate> = turns.iter().map(|gate| gate.t().to_owned()).collect();
    let undone = layer("turned back", &back, &turned)?;
    check("turns undone", difference(&undone, &uniform))?;

    // A Hadamard, and a controlled NOT from every qubit to the next: all zeros or all ones.
    let mut state = layer("a Hadamard on the first", &gates_at(n, 0, &h), &zero)?;
    let cnot = array![[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 0., 1.], [0., 0., 1., 0.]];
    for qubit in 0..n - 1 {
        let mut factors = vec![Gate::eye(2); n - 1];
        factors[qubit] = cnot.clone();
        state = KronChain::new(&factors)?.apply(&state)?;
    }
    let mut ghz = Array1::zeros(1 << n);
    (ghz[0], ghz[(1 << n) - 1]) = (0.5_f64.sqrt(), 0.5_f64.sqrt());
    check("the GHZ state", difference(&state, &ghz))?;

    for (qubit, turn) in turns.iter().enumerate() {
        layer(&format!("one turn, qubit {qubit}"), &gates_at(n, qubit, turn), &turned)?;
    }
    println!("by hand: four neighbours multiplied together, for layers of gates everywhere");
    Ok(())
}

/// A turn by half the angle.
fn turn(angle: f64) -> Gate {
    let (sin, cos) = (angle / 2.0).sin_cos();
    array![[cos, -sin], [sin, cos]]
}

/// One gate among identities.
fn gates_at(n: usize, qubit: usize, gate: &Gate) -> Vec<Gate> {
    let mut gates = vec![Gate::eye(2); n];
    gates[qubit].assign(gate);
    gates
}

/// Applies a layer in all ways, compares and prints them.
fn layer(name: &str, gates: &[Gate], state: &Array1<f64>) -> Result<Array1<f64>, Box<dyn Error>> {
    let chain = KronChain::new(gates)?;
    let (time, found) = best(|| chain.apply(state));
    let found = found?;
    let (plain_time, expected) = best(|| plain_loop(gates, state));
    let groups = gates.chunks(4).map(product).collect::<Result<Vec<_>, _>>()?;
    let everywhere = gates.iter().all(|gate| *gate != Gate::eye(2));
    let by_hand = if everywhere {
        let grouped = KronChain::new(&groups)?;
        let (time, result) = best(|| grouped.apply(state));
        check(name, difference(&result?, &expected))?;
        format!("{time:.3}")
    } else {
        "-".into()
    };
    let naive = if gates.len() <= NAIVE_QUBITS {
        let (time, result) = best(|| chain.to_dense().map(|matrix| matrix.dot(state)));
        check(name, difference(&result?, &expected))?;
        format!("{time:.3}")
    } else {
        "-".into()
    };
    let error = difference(&found, &expected);
    println!("{name:<28} {time:>9.3} {plain_time:>11.3} {by_hand:>11} {naive:>9} {error:>8.0e}");
    check(name, error)?;
    Ok(found)
}

/// The Kronecker product of some gates.
fn product(gates: &[Gate]) -> Result<Gate, lokr::core::KronError> {
    gates.iter().try_fold(Gate::ones((1, 1)), |product, gate| kron_dense(&product, gate))
}

/// Gate after gate that is none of the identities, pair after pair of amplitudes, in place.
fn plain_loop(gates: &[Gate], state: &Array1<f64>) -> Array1<f64> {
    let mut state = state.to_vec();
    for (qubit, gate) in gates.iter().enumerate().filter(|(_, gate)| **gate != Gate::eye(2)) {
        let step = 1 << (gates.len() - 1 - qubit);
        for base in (0..state.len()).step_by(2 * step) {
            for i in base..base + step {
                let (a, b) = (state[i], state[i + step]);
                state[i] = gate[[0, 0]] * a + gate[[0, 1]] * b;
                state[i + step] = gate[[1, 0]] * a + gate[[1, 1]] * b;
            }
        }
    }
    Array1::from(state)
}

/// The best time of five, in milliseconds, and the last result.
fn best<R>(mut work: impl FnMut() -> R) -> (f64, R) {
    let mut run = || {
        let start = Instant::now();
        let result = work();
        (start.elapsed().as_secs_f64() * 1e3, result)
    };
    (0..4).fold(run(), |(least, _), _| {
        let (time, result) = run();
        (least.min(time), result)
    })
}

fn difference(a: &Array1<f64>, b: &Array1<f64>) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |most, value| if value > most || value.is_nan() { value } else { most })
}

/// An error where a result is wrong; NaN is.
fn check(what: &str, error: f64) -> Result<(), String> {
    if error < 1e-12 { Ok(()) } else { Err(format!("{what}: off by {error:e}")) }
}
