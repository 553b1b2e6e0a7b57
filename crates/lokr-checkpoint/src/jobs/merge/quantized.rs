//! Weights of eight bits that adapters change, or that become floats.

use std::ops::Range;

use super::model::{Done, Job};
use super::options::QuantizedRounding;
use super::outputs::Rewritten;
use super::report::Measured;
use super::steps::Applied;
use super::weight::{Target, look_at_rows, merge_weight, recode};
use crate::error::{JobError, Result};
use crate::file::{TensorSpec, TensorWriter};
use crate::quantized::{Chance, Encoding, Maxima, Rounding, Scales, Weight};

/// A stored weight and what becomes of it.
struct Change<'a> {
    stored: Weight,
    /// What adapters are merged into: that, or the same weight of the model before it was quantised.
    source: Weight,
    applied: Option<&'a [Applied<'a>]>,
    /// The numbers of the scales of the rows that change.
    scales: Vec<Range<usize>>,
}

/// How far chance alone takes the share of a change that is kept, in standard deviations.
const CHANCE: f64 = 4.0;

impl Job<'_> {
    /// Writes the scales of a weight that is written later.
    pub(super) fn write_scales(
        &self,
        writer: &mut TensorWriter,
        name: &str,
        weight: &str,
        done: &mut Done,
    ) -> Result<()> {
        let Some(rewritten) = self.outputs.weights.get(weight) else { return Ok(()) };
        let (Some(stored), Some(before)) = (&rewritten.layout.scales, rewritten.layout.encoding.scales()) else {
            return Ok(());
        };
        match self.scales(weight, rewritten, done)? {
            Some(scales) => writer.write(name, &stored.bytes(&self.base.tensor(name)?, before, &scales)),
            None => Ok(()),
        }
    }

    /// The scales of a weight as it will be; nothing for one without scales. One pass over it, once.
    fn scales(&self, name: &str, rewritten: &Rewritten, done: &mut Done) -> Result<Option<Scales>> {
        if let Some(scales) = done.scales.get(name) {
            return Ok(Some(scales.clone()));
        }
        let encoding = &rewritten.layout.encoding;
        let (Some(stored), Some(scales)) = (&rewritten.layout.scales, encoding.scales()) else { return Ok(None) };
        let change = self.change(name, rewritten)?;
        let mut maxima = Maxima::whole(scales);
        if let Some(applied) = change.applied {
            look_at_rows(&mut maxima, encoding, &change.source, applied)?;
        }
        let renewed = stored.renewed(encoding, &maxima, &change.scales);
        done.scales.extend(renewed.clone().map(|scales| (name.to_owned(), scales)));
        Ok(renewed)
    }

    fn change(&self, name: &str, rewritten: &Rewritten) -> Result<Change<'_>> {
        let encoding = &rewritten.layout.encoding;
        let stored = Weight { tensor: self.base.tensor(name)?, encoding: encoding.clone() };
        let applied = self.plan.applied.get(name).map(|applied| &applied[..]);
        let source = match self.options.quantized.original.filter(|_| applied.is_some()) {
            Some(original) => original.stored_weight(name)?,
            None => stored.clone(),
        };
        let windows = applied.unwrap_or_default().iter().map(|applied| applied.window.rows.clone());
        let scales = encoding.scales().map_or_else(Vec::new, |s| windows.map(|rows| s.of_rows(rows)).collect());
        Ok(Change { stored, source, applied, scales })
    }

    /// Writes such a weight, or in a dry run only describes it.
    pub(super) fn rewrite(
        &self,
        writer: Option<&mut TensorWriter>,
        spec: &TensorSpec,
        rewritten: &Rewritten,
        done: &mut Done,
    ) -> Result<()> {
        let name = &spec.name;
        let encoding = match (&writer, rewritten.float) {
            (_, Some(float)) => Encoding::plain(float),
            (None, None) => rewritten.layout.encoding.clone(),
            (Some(_), None) => match self.scales(name, rewritten, done)? {
                Some(scales) => rewritten.layout.encoding.with_scales(scales),
                None => rewritten.layout.encoding.clone(),
            },
        };
        let Change { stored, source, applied, .. } = self.change(name, rewritten)?;
        let Some(applied) = applied else {
            let Some(writer) = writer else { return Ok(()) };
            return match rewritten.float {
                None => writer.write(name, stored.tensor.bytes()),
                Some(_) => recode(Target { writer, name, dtype: spec.dtype, encoding: &encoding }, &stored),
            };
        };
        let mut described = self.plan.describe(name, &stored.tensor)?;
        if rewritten.float.is_some() {
            described.dtype = format!("{} → {}", described.dtype, spec.dtype);
        }
        if let Some(writer) = writer {
            let encoding = match self.options.quantized.rounding {
                QuantizedRounding::Nearest => encoding,
                QuantizedRounding::Stochastic => encoding.with_rounding(Rounding::Stochastic(Chance::of(name))),
            };
            let target = Target { writer, name, dtype: spec.dtype, encoding: &encoding };
            let measured = merge_weight(target, &source, applied)?;
            if rewritten.float.is_none() {
                self.check_kept(name, measured, stored.tensor.element_count())?;
            }
            described.measured = Some(measured);
        }
        done.report.weights.push(described);
        Ok(())
    }

    /// An error if too little of a change is left, unless chance alone may have taken it.
    fn check_kept(&self, key: &str, measured: Measured, elements: usize) -> Result<(), JobError> {
        let least = self.options.quantized.min_kept;
        let too_little = |kept: &f64| least > 0.0 && *kept < least;
        let Some(kept) = measured.kept.filter(too_little) else { return Ok(()) };
        // Of independent errors of rounding, the product with the change is as large as this.
        let chance = measured.rounding_norm / measured.delta_norm / (elements as f64).sqrt();
        if 1.0 - kept <= CHANCE * chance {
            return Ok(());
        }
        Err(JobError::ChangeLost { key: key.to_owned(), kept, least })
    }
}
