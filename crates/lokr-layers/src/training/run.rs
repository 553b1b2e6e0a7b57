//! The loop: epochs of steps, with everything that happens between them.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use lokr_core::Scalar;

use super::agreement::{any, check_same, of_parameters, of_samples, of_values};
use super::communicator::AllReduce;
use super::evaluation::{Evaluation, evaluate_dyn};
use super::loss::{LossFunction, mean};
use super::progress::{EpochReport, Next, Progress, StepReport};
use super::samples::Samples;
use super::schedule::Schedule;
use super::state::TrainingState;
use super::step::{Found, Step};
use super::watch::{EarlyStopping, Lowered};
use crate::error::{LayerError, Result};
use crate::layer::{Layer, Loading, load_parameters, named_parameters};

type Call<'a> = dyn FnMut(&Progress) -> Result<Next> + 'a;

/// Is told what happens, and may stop the run.
pub(super) struct Callback<'a> {
    pub(super) call: Box<Call<'a>>,
    /// Whether it can ask for a stop.
    pub(super) may_stop: bool,
    /// Whether it is called on every rank, or on rank 0 alone.
    pub(super) on_every_rank: bool,
}

/// Is given the state of the run, to save it.
pub(super) type Save<'a, T> = Box<dyn FnMut(&TrainingState<T>) -> Result<()> + 'a>;

/// What a run is made of, all of it checked.
pub(super) struct Run<'r, 'a, T: Scalar> {
    pub(super) loss: &'r dyn LossFunction<T>,
    pub(super) epochs: usize,
    pub(super) batch_size: usize,
    pub(super) seed: u64,
    pub(super) schedule: Schedule,
    pub(super) training: Samples<'r, T>,
    pub(super) validation: Option<Samples<'r, T>>,
    /// Who trains the network together, and after how many steps they compare what they have.
    pub(super) ranks: &'r dyn AllReduce<T>,
    pub(super) check_every: usize,
    pub(super) callbacks: &'r mut Vec<Callback<'a>>,
    /// Steps between two saves, and what saves.
    pub(super) save: Option<(usize, &'r mut Save<'a, T>)>,
    /// Puts the samples in the order of an epoch.
    pub(super) order: &'r mut dyn FnMut(&mut [usize], u64),
    /// The learning rate that the schedule is a factor of.
    pub(super) rate: f64,
    pub(super) position: Position,
    pub(super) lowered: Lowered,
    pub(super) early_stopping: Option<EarlyStopping<T>>,
    pub(super) history: Vec<EpochReport>,
    /// Whether ranks ask each other whether to stop.
    pub(super) asks: bool,
}

/// Where a run is, after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Position {
    /// The epoch, from 1.
    pub(super) epoch: usize,
    /// Batches of it that are done.
    pub(super) batch: usize,
    /// Steps of the run that are done.
    pub(super) step: usize,
    /// Sum of the losses of the epoch's batches times their weights, and of the weights.
    pub(super) loss: f64,
    pub(super) weight: f64,
}

impl Position {
    pub(super) const START: Self = Self { epoch: 1, batch: 0, step: 0, loss: 0.0, weight: 0.0 };
}

/// Measures the pace of the steps.
struct Clock {
    start: Instant,
    first_step: usize,
}

impl Clock {
    /// The time since the start, and that until the end.
    fn times(&self, step: usize, steps: usize) -> (Duration, Duration) {
        let elapsed = self.start.elapsed();
        let (done, left) = (step.saturating_sub(self.first_step).max(1), steps.saturating_sub(step));
        (elapsed, elapsed.mul_f64(left as f64 / done as f64))
    }
}

impl<T: Scalar> Run<'_, '_, T> {
    /// Checks that every rank begins with the same network, samples and settings; `settings` stands for the others.
    pub(super) fn check_ranks(&mut self, network: &mut dyn Layer<T>, settings: u64) -> Result<()> {
        if self.ranks.size() == 1 {
            return Ok(());
        }
        let validation = self.validation.as_ref().map_or(0, of_samples);
        let same = [
            ("settings", settings),
            ("saved steps", self.position.step as u64),
            ("samples", of_samples(&self.training) ^ validation.rotate_left(1)),
            ("parameters", of_parameters(network)),
            ("frozen values", of_values(network)),
        ];
        check_same(self.ranks, self.position.step, &same)?;
        self.asks = any(self.ranks, self.callbacks.iter().any(|callback| callback.may_stop))?;
        Ok(())
    }

    /// All epochs from the position on, or until something stops them.
    pub(super) fn epochs(&mut self, step: &mut Step<'_, T>) -> Result<()> {
        let clock = Clock { start: Instant::now(), first_step: self.position.step };
        let mut order: Vec<usize> = (0..self.training.len()).collect();
        self.history.reserve(self.epochs.saturating_sub(self.history.len()).min(1 << 16));
        while self.position.epoch <= self.epochs {
            (self.order)(&mut order, self.position.epoch as u64);
            if self.batches(step, &order, &clock)?.is_break() || self.end_of_epoch(step)?.is_break() {
                break;
            }
        }
        match &self.early_stopping {
            Some(early_stopping) => early_stopping.restore(step.network),
            None => Ok(()),
        }
    }

    /// The batches of an epoch that are not done yet.
    fn batches(&mut self, step: &mut Step<'_, T>, order: &[usize], clock: &Clock) -> Result<ControlFlow<()>> {
        let batches = order.len().div_ceil(self.batch_size);
        let steps = batches.saturating_mul(self.epochs);
        for indices in order.chunks(self.batch_size).skip(self.position.batch) {
            let position = self.position;
            if !self.schedule.is_constant() {
                let factor = self.schedule.factor_after(self.lowered.factor, position.step, steps, position.epoch);
                step.optimizer.set_learning_rate(self.rate * factor)?;
            }
            let Found { loss, weight, gradient_norm } = step.run(&self.training, indices)?;
            self.position.loss += loss * weight;
            self.position.weight += weight;
            self.position.batch += 1;
            self.position.step += 1;
            let (elapsed, time_left) = clock.times(self.position.step, steps);
            let report = StepReport {
                epoch: position.epoch,
                batch: position.batch + 1,
                batches,
                step: position.step + 1,
                steps,
                loss,
                learning_rate: step.optimizer.learning_rate(),
                gradient_norm,
                elapsed,
                time_left,
            };
            if self.position.step.is_multiple_of(self.check_every) && self.ranks.size() > 1 {
                check_same(self.ranks, self.position.step, &[("parameters", of_parameters(step.network))])?;
            }
            let next = self.tell(&Progress::Step(report))?;
            self.save(step, next == Next::Stop)?;
            if next == Next::Stop {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Measures what has become of the network, and goes to the next epoch.
    fn end_of_epoch(&mut self, step: &mut Step<'_, T>) -> Result<ControlFlow<()>> {
        let Position { epoch, loss, weight, .. } = self.position;
        let validation =
            self.validation.as_ref().map(|samples| evaluate_dyn(step.network, samples, self.loss, self.ranks));
        let report = EpochReport { epoch, loss: mean(loss, weight), validation: validation.transpose()? };
        self.history.push(report);
        if let Some(plateau) = self.schedule.plateau() {
            self.lowered.see(report.watched(), plateau);
        }
        let stops = self.early_stopping.as_mut().is_some_and(|early| early.see(report.watched(), step.network));
        self.position = Position { epoch: epoch + 1, step: self.position.step, ..Position::START };
        let next = self.tell(&Progress::Epoch(report))?;
        let stops = stops || next == Next::Stop;
        Ok(if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// All callbacks hear everything, whichever of them stops the run, on whichever rank.
    fn tell(&mut self, progress: &Progress) -> Result<Next> {
        let is_first = self.ranks.rank() == 0;
        let mut stops = false;
        for callback in self.callbacks.iter_mut().filter(|callback| is_first || callback.on_every_rank) {
            stops |= (callback.call)(progress)? == Next::Stop;
        }
        let stops = if self.asks { any(self.ranks, stops)? } else { stops };
        Ok(if stops { Next::Stop } else { Next::Continue })
    }

    /// Saves the run where that is due, or where it `stops`; rank 0 does it for all.
    fn save(&mut self, step: &mut Step<'_, T>, stops: bool) -> Result<()> {
        let position = self.position;
        let is_due = self.save.as_ref().is_some_and(|(every, _)| stops || position.step.is_multiple_of(*every));
        if !is_due || self.ranks.rank() != 0 {
            return Ok(());
        }
        let state = self.state(step)?;
        self.save.as_mut().map_or(Ok(()), |(_, save)| save(&state))
    }

    /// Everything that the rest of the run depends on.
    fn state(&self, step: &mut Step<'_, T>) -> Result<TrainingState<T>> {
        let mut state = TrainingState::default();
        let network = named_parameters(step.network)?;
        state.insert("network", TrainingState { arrays: network, ..TrainingState::default() });
        state.insert("optimizer", step.optimizer.save_state(step.network)?);
        step.network.visit_random_states(&mut |name, random| {
            state.counts.insert(format!("random.{name}"), *random);
        });
        let Position { epoch, batch, step: steps, loss, weight } = self.position;
        for (name, count) in [("epoch", epoch), ("batch", batch), ("step", steps), ("batch_size", self.batch_size)] {
            state.counts.insert(name.to_owned(), count as u64);
        }
        state.counts.insert("samples".to_owned(), self.training.len() as u64);
        state.counts.insert("seed".to_owned(), self.seed);
        for (name, number) in [("learning_rate", self.rate), ("loss", loss), ("weight", weight)] {
            state.numbers.insert(name.to_owned(), number);
        }
        self.lowered.save(&mut state);
        if let Some(early_stopping) = &self.early_stopping {
            early_stopping.save(step.network, &mut state);
        }
        for report in &self.history {
            let name = |what: &str| format!("history.{}.{what}", report.epoch);
            state.numbers.insert(name("loss"), report.loss);
            if let Some(validation) = report.validation {
                state.numbers.insert(name("validation_loss"), validation.loss);
                if let Some(accuracy) = validation.accuracy {
                    state.numbers.insert(name("validation_accuracy"), accuracy);
                }
            }
        }
        Ok(state)
    }

    /// Puts the run, the network and the optimizer where they were when `state` was saved.
    pub(super) fn resume(&mut self, step: &mut Step<'_, T>, state: &TrainingState<T>) -> Result<()> {
        for (name, own) in [("samples", self.training.len()), ("batch_size", self.batch_size)] {
            if state.count(name)? != own as u64 {
                return Err(LayerError::invalid("number of samples or batch size", own, "that of the saved run"));
            }
        }
        if state.count("seed")? != self.seed {
            return Err(LayerError::invalid("seed", self.seed, "that of the saved run"));
        }
        let count = |name: &str| Ok::<_, LayerError>(state.count(name)? as usize);
        let position = Position {
            epoch: count("epoch")?,
            batch: count("batch")?,
            step: count("step")?,
            loss: state.number("loss")?,
            weight: state.number("weight")?,
        };
        let (rate, lowered) = (state.number("learning_rate")?, Lowered::load(state)?);
        let mut early_stopping = self.early_stopping.clone();
        if let Some(early_stopping) = &mut early_stopping {
            early_stopping.load(step.network, state)?;
        }
        let history = history(state, position.epoch)?;

        // The optimizer's memory last: all else can be put back if it refuses.
        let (before, rate_before) = (step.network.parameters(), step.optimizer.learning_rate());
        step.optimizer.set_learning_rate(rate)?;
        let network = state.part("network").arrays;
        let loaded = load_parameters(step.network, &network, Loading::Complete);
        let loaded = loaded.and_then(|_| step.optimizer.load_state(step.network, &state.part("optimizer")));
        if let Err(error) = loaded {
            step.optimizer.set_learning_rate(rate_before)?;
            let mut values = before.iter();
            step.network.visit_mut(&mut |_, mut own, _| own.iter_mut().zip(&mut values).for_each(|(v, &old)| *v = old));
            return Err(error);
        }
        step.network.visit_random_states(&mut |name, random| {
            *random = state.counts.get(&format!("random.{name}")).copied().unwrap_or(*random);
        });
        (self.position, self.rate, self.lowered) = (position, rate, lowered);
        (self.early_stopping, self.history) = (early_stopping, history);
        Ok(())
    }
}

/// The reports of the epochs before that one.
fn history<T>(state: &TrainingState<T>, epoch: usize) -> Result<Vec<EpochReport>> {
    (1..epoch)
        .map(|epoch| {
            let name = |what: &str| format!("history.{epoch}.{what}");
            let accuracy = state.numbers.get(&name("validation_accuracy")).copied();
            let validation = state.numbers.get(&name("validation_loss")).copied();
            let validation = validation.map(|loss| Evaluation { loss, accuracy });
            Ok(EpochReport { epoch, loss: state.number(&name("loss"))?, validation })
        })
        .collect()
}
