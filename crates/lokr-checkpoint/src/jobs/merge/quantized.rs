//! Weights of eight bits that adapters change, or that become floats.

use std::ops::Range;

use super::model::{Done, Job};
use super::options::QuantizedRounding;
use super::outputs::Rewritten;
use super::report::Measured;
use super::steps::Applied;
use super::weight::{Target, look_at_rows, merge_weight, recode};
use crate::error::{JobError, Result};
use crate::file::{TensorSpec, TensorWriter, product};
use crate::quantized::{Chance, Encoding, Maxima, Rounding, Scales, Weight};

/// Rows of a stored weight that adapters change apart from the others.
struct Piece<'a> {
    /// The name of the weight that these rows are.
    name: String,
    rows: Range<usize>,
    /// What is stored of them.
    stored: Weight,
    /// What adapters are merged into: that, or the same rows of the model before it was quantised.
    source: Weight,
    applied: Option<&'a [Applied<'a>]>,
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
        let (pieces, changed) = self.pieces(name, rewritten)?;
        let mut maxima = Maxima::whole(scales);
        for piece in &pieces {
            if shares(&scales.of_rows(piece.rows.clone()), &changed) {
                let first = piece.rows.start * columns(&piece.stored);
                let applied = piece.applied.unwrap_or_default();
                look_at_rows(&mut maxima, &encoding.starting_at(first), &piece.source, applied)?;
            }
        }
        let renewed = stored.renewed(encoding, &maxima, &changed);
        done.scales.extend(renewed.clone().map(|scales| (name.to_owned(), scales)));
        Ok(renewed)
    }

    /// The rows that adapters change apart, and the numbers of the scales that they change.
    fn pieces(&self, name: &str, rewritten: &Rewritten) -> Result<(Vec<Piece<'_>>, Vec<Range<usize>>)> {
        let encoding = &rewritten.layout.encoding;
        let whole = Weight { tensor: self.base.tensor(name)?, encoding: encoding.clone() };
        let original = self.options.quantized.original.map(|original| original.stored_weight(name)).transpose()?;
        let (mut pieces, mut changed, mut first) = (Vec::new(), Vec::new(), 0);
        for (name, tensor) in self.plan.pieces(self.base, name, &whole.tensor)? {
            let rows = first..first + tensor.shape()[0];
            first = rows.end;
            let applied = self.plan.applied.get(&name).map(|applied| &applied[..]);
            let stored = whole.rows(rows.clone());
            let original = original.as_ref().filter(|_| applied.is_some()).map(|original| original.rows(rows.clone()));
            let source = original.unwrap_or_else(|| stored.clone());
            if let (Some(_), Some(scales)) = (applied, encoding.scales()) {
                // All rows of the weight that the modules are of.
                changed.push(scales.of_rows(rows.clone()));
            }
            pieces.push(Piece { name, rows, stored, source, applied });
        }
        Ok((pieces, changed))
    }

    /// Writes such a weight, or in a dry run only describes it.
    pub(super) fn rewrite(
        &self,
        mut writer: Option<&mut TensorWriter>,
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
        let (pieces, changed) = self.pieces(name, rewritten)?;
        for piece in pieces {
            let encoding = encoding.starting_at(piece.rows.start * columns(&piece.stored));
            let Some(applied) = piece.applied else {
                let Some(writer) = &mut writer else { continue };
                let scales = rewritten.layout.encoding.scales().map(|scales| scales.of_rows(piece.rows.clone()));
                let same = rewritten.float.is_none() && !scales.is_some_and(|scales| shares(&scales, &changed));
                match same {
                    true => writer.write(name, piece.stored.tensor.bytes())?,
                    false => recode(Target { writer, name, dtype: spec.dtype, encoding: &encoding }, &piece.stored)?,
                }
                continue;
            };
            let mut described = self.plan.describe(&piece.name, &piece.stored.tensor)?;
            if rewritten.float.is_some() {
                described.dtype = format!("{} → {}", described.dtype, spec.dtype);
            }
            if let Some(writer) = &mut writer {
                let encoding = match self.options.quantized.rounding {
                    QuantizedRounding::Nearest => encoding,
                    QuantizedRounding::Stochastic => encoding.with_rounding(Rounding::Stochastic(Chance::of(name))),
                };
                let target = Target { writer, name, dtype: spec.dtype, encoding: &encoding };
                let measured = merge_weight(target, &piece.source, applied)?;
                if rewritten.float.is_none() {
                    self.check_kept(&piece.name, measured, piece.stored.tensor.element_count())?;
                }
                described.measured = Some(measured);
            }
            done.report.weights.push(described);
        }
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

fn columns(weight: &Weight) -> usize {
    product(&weight.tensor.shape()[1..])
}

/// Whether some numbers are among others.
fn shares(numbers: &Range<usize>, others: &[Range<usize>]) -> bool {
    others.iter().any(|other| numbers.start < other.end && other.start < numbers.end)
}
