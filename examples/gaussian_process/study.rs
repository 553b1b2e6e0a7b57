//! A Gaussian process that learns from some points of a grid and is examined on the others.

use std::error::Error;
use std::fmt::Write;

use lokr::core::KronChain;
use ndarray::{Array1, Array2};

use super::common::measure::{Checks, time};
use super::data::Temperature;
use super::dense;
use super::process::{Data, Parameters, Prediction, evaluate, predict, train};

/// What is learned from, and what is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// The points learned from; their mean is taken off.
    pub data: Data,
    mean: f64,
    /// The grid that is predicted.
    pub axes: Vec<Array1<f64>>,
    /// What was measured there.
    pub truth: Array1<f64>,
    /// Which of these were learned from.
    known: Vec<bool>,
}

impl Study {
    /// Learns from every second point of the axes but the first, and of the hours every `hours`-th. A map of one hour
    /// has two axes.
    pub fn new(all: &Temperature, hours: usize) -> Result<Self, Box<dyn Error>> {
        let steps = [hours, 2, 2];
        let few = all.thinned(steps);
        let skip = usize::from(all.axes[0].len() == 1);
        let mean = few.values.mean().ok_or("no data")?;
        let values = few.values.iter().map(|value| value - mean).collect();
        Ok(Self {
            data: Data { axes: few.axes[skip..].to_vec(), values },
            mean,
            axes: all.axes[skip..].to_vec(),
            truth: all.values.iter().copied().collect(),
            known: all.is_thinned(steps),
        })
    }

    /// Trains from `start` on, and predicts everything.
    pub fn learn(self, start: &Parameters, steps: usize) -> Result<Learned, Box<dyn Error>> {
        let begin = std::time::Instant::now();
        let (parameters, likelihoods) = train(start, &self.data, steps)?;
        let training = begin.elapsed();
        let Prediction { mean, variance } = predict(&parameters, &self.data, &self.axes)?;
        let (mean, deviation) = (mean + self.mean, variance.mapv(f64::sqrt));
        Ok(Learned { study: self, parameters, likelihoods, mean, deviation, training })
    }

    /// What is linear between the points learned from: a Kronecker product again.
    pub fn interpolated(&self) -> Result<Array1<f64>, Box<dyn Error>> {
        let between = KronChain::new(self.axes.iter().zip(&self.data.axes).map(|(new, x)| linear(new, x)))?;
        Ok(between.apply(&self.data.values)? + self.mean)
    }

    /// `values` at the points that were not learned from.
    fn hidden<'a>(&'a self, values: &'a Array1<f64>) -> impl Iterator<Item = f64> + 'a {
        values.iter().zip(&self.known).filter(|(_, known)| !**known).map(|(value, _)| *value)
    }

    /// The root of the mean squared error of `found` at the points that were not learned from.
    pub fn error(&self, found: &Array1<f64>) -> f64 {
        let squares = (found - &self.truth).mapv(|error| error * error);
        let (sum, count) = self.hidden(&squares).fold((0.0, 0), |(sum, count), square| (sum + square, count + 1));
        (sum / f64::from(count)).sqrt()
    }
}

/// A study, done.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    pub study: Study,
    pub parameters: Parameters,
    /// The logarithm of the likelihood in the course of the training.
    pub likelihoods: Vec<f64>,
    /// The prediction, and its standard deviation.
    pub mean: Array1<f64>,
    pub deviation: Array1<f64>,
    training: std::time::Duration,
}

impl Learned {
    /// The errors at the points that were not learned from, in standard deviations of a measurement there.
    pub fn scores(&self) -> Vec<f64> {
        let of_measurement = self.deviation.mapv(|deviation| (deviation * deviation + self.parameters.noise).sqrt());
        self.study.hidden(&((&self.study.truth - &self.mean) / of_measurement)).collect()
    }

    /// What came of it, in a few lines. `names` are those of the axes.
    pub fn report(&self, names: &[&str]) -> Result<String, Box<dyn Error>> {
        let Self { study, parameters, likelihoods, .. } = self;
        let scores = self.scores();
        let inside = scores.iter().filter(|score| score.abs() < 1.96).count();
        let mut text = String::new();
        let (first, last) = (likelihoods[0], likelihoods[likelihoods.len() - 1]);
        let (points, steps) = (study.data.values.len(), likelihoods.len() - 1);
        writeln!(text, "trained on {points} points in {steps} steps, {}", time(self.training))?;
        writeln!(text, "log-likelihood: {first:.1} at first, {last:.1} at last")?;
        for (name, length) in names.iter().zip(&parameters.lengths) {
            writeln!(text, "length of {name}: {length:.2}")?;
        }
        let (process, noise) = (parameters.variance.sqrt(), parameters.noise.sqrt());
        writeln!(text, "standard deviation of the process {process:.2} K, of the noise {noise:.2} K")?;
        let linear = study.error(&study.interpolated()?);
        writeln!(text, "error at the other {} points: {:.2} K", scores.len(), study.error(&self.mean))?;
        writeln!(text, "  of linear interpolation {linear:.2} K")?;
        let share = 100.0 * inside as f64 / scores.len() as f64;
        writeln!(text, "within 1.96 predicted standard deviations: {share:.1} % of them")?;
        Ok(text)
    }
}

/// Likelihood, gradient, mean and variance against dense arithmetic; the gradient against differences, too.
pub fn compare(checks: &mut Checks, parameters: &Parameters, study: &Study) -> Result<(), Box<dyn Error>> {
    let data = &study.data;
    let name = |what: &str| format!("{} factors, {} points: {what}", data.axes.len(), data.values.len());
    let (found, expected) = (evaluate(parameters, data)?, dense::evaluate(parameters, data)?);
    checks.near(&name("log-likelihood"), &[found.log_likelihood], &[expected.log_likelihood], 1e-10)?;
    checks.near(&name("gradient"), &found.gradient, &expected.gradient, 1e-8)?;
    let at = parameters.logarithms();
    let difference = (0..at.len()).map(|index| {
        let beside = |step: f64| {
            let mut at = at.clone();
            at[index] += step;
            evaluate(&Parameters::from_logarithms(&at), data).map(|evaluation| evaluation.log_likelihood)
        };
        Ok((beside(1e-4)? - beside(-1e-4)?) / 2e-4)
    });
    let difference = difference.collect::<lokr::core::Result<Vec<_>>>()?;
    checks.near(&name("gradient, by differences"), &found.gradient, &difference, 1e-5)?;
    let (found, expected) = (predict(parameters, data, &study.axes)?, dense::predict(parameters, data, &study.axes)?);
    checks.near(&name("mean"), &found.mean, &expected.mean, 1e-9)?;
    checks.near(&name("variance"), &found.variance, &expected.variance, 1e-9)?;
    Ok(())
}

/// Weights of the values at the ascending or descending points `x` for a value at each of `new`, between them.
fn linear(new: &Array1<f64>, x: &Array1<f64>) -> Array2<f64> {
    let hat = |at: f64, from: f64, to: f64| (1.0 - (at - from) / (to - from)).clamp(0.0, 1.0);
    Array2::from_shape_fn((new.len(), x.len()), |(i, j)| {
        let (at, from) = (new[i], x[j]);
        let left = if j > 0 { hat(at, from, x[j - 1]) } else { 1.0 };
        let right = if j + 1 < x.len() { hat(at, from, x[j + 1]) } else { 1.0 };
        left * right // on one side of x[j] each of them is 1
    })
}
