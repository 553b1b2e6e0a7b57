//! An adapter with other factor shapes or ranks.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use lokr_core::{Factor, FactorizationRule, Kron, KronShape, NearestOptions, factorization, nearest_kron};
use ndarray::Array2;
use serde::Serialize;

use super::energy;
use super::for_all::for_all;
use super::progress::Progress;
use crate::adapter::{Adapter, Names, Target, check_kernels, targets};
use crate::dialects::Dialect;
use crate::error::{InFile, JobError, Result};
use crate::file::{FloatType, Tensor, product};
use crate::model::BaseModel;
use crate::module::{DORA_SCALE, FactorSize, Module, NewModule, ScaleRule, size_factor, stored_dtype};

/// Choices of [`resize`].
///
/// # Examples
/// ```
/// use lokr_checkpoint::{FactorSize, ResizeOptions};
///
/// let options = ResizeOptions { size: Some(FactorSize::Rank(4)), ..ResizeOptions::default() };
/// assert_eq!(options.factor, None); // the shapes of the factors stay
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ResizeOptions {
    /// How `out` and `in` are to be split (see [`factorization`]). `None`: as they are.
    pub factor: Option<i64>,
    /// Whose rule splits.
    pub rule: FactorizationRule,
    /// How `w2` is held. `None`: as it is while the split stays, full after another split. A share of the energy is of
    /// the best LoKr of the new split.
    pub size: Option<FactorSize>,
    /// The type to store; `None`: that of the factors.
    pub dtype: Option<FloatType>,
}

/// What [`resize`] made.
#[derive(Debug)]
pub struct Resized {
    /// The new adapter, in the dialect of the old one and named like it, with its metadata.
    pub adapter: Adapter,
    /// What they keep.
    pub report: ResizeReport,
}

/// What is left of an adapter.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ResizeReport {
    /// The modules, by name.
    pub modules: Vec<ResizedModule>,
    /// Share of the squared norm of all modules' changes that is kept.
    pub energy: f64,
    /// Values before.
    pub parameters_before: usize,
    /// Values now.
    pub parameters: usize,
}

/// One module of a [`ResizeReport`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResizedModule {
    /// Its name.
    pub name: String,
    /// Shape of `w1` before and now.
    pub w1: [(usize, usize); 2],
    /// Shape of `w2`, the kernel in its columns, before and now.
    pub w2: [(usize, usize); 2],
    /// Rank of `w2` before and now, where it is low-rank.
    pub rank: [Option<usize>; 2],
    /// `‖ΔW‖_F`.
    pub norm: f64,
    /// Share of its square kept; 1 for a change that is zero.
    pub energy: f64,
}

/// The nearest LoKr of other factor shapes or ranks, module by module.
///
/// # Method
/// A rank is lowered by the singular value decomposition of `w2`, which is the best for the split. For another split,
/// where the new `m` and `n` divide the old ones or are multiples of them, only one factor has to be split: `A ≈ A'⊗C`
/// gives `A'⊗(C⊗B)`, and `B ≈ C⊗B'` gives `(A⊗C)⊗B'`, both the best there are. Otherwise the module's change is formed,
/// `out·in` values in f64, and its nearest product found ([`nearest_kron`]). A module that stays as it is keeps its
/// bytes.
///
/// DoRA's norms are kept: they then belong to a slightly different direction.
///
/// `base` tells the kernels of convolutions whose low-rank `w2` is stored flat. Without it such a `w2` is taken for a
/// linear layer's, which another split or a full `w2` makes wrong; the new adapter then does not fit the model, and
/// merging says so.
/// # Errors
/// [`JobError::Option`], [`JobError::Interrupted`]; [`JobError::KernelUnknown`];
/// [`FileError::OutOfRange`](crate::FileError::OutOfRange) for values that the type to store cannot hold;
/// [`JobError::SeveralTerms`] for another split of sums; those of [`Adapter::resolve`], [`Module::kron`] and
/// [`Module::scale_by`]; those of [`Adapter::from_modules`] for what the dialect cannot hold.
/// # Examples
/// ```no_run
/// use std::ops::ControlFlow;
/// use lokr_checkpoint::{Adapter, FactorSize, Overwrite, ReadOptions, ResizeOptions, resize};
///
/// let adapter = Adapter::read("large.safetensors", &ReadOptions::default())?;
/// let options = ResizeOptions { size: Some(FactorSize::Energy(0.95)), ..ResizeOptions::default() };
/// let small = resize(&adapter, None, &options, &mut |_| ControlFlow::Continue(()))?;
/// println!("{} values instead of {}", small.report.parameters, small.report.parameters_before);
/// small.adapter.write("small.safetensors", Overwrite::Refuse)?;
/// # Ok::<(), lokr_checkpoint::CheckpointError>(())
/// ```
pub fn resize(
    adapter: &Adapter,
    base: Option<&BaseModel>,
    options: &ResizeOptions,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Resized> {
    options.size.map_or(Ok(()), FactorSize::check)?;
    if let (Dialect::Terms, Some(_), Some(first)) = (adapter.dialect(), options.factor, adapter.modules().keys().next())
    {
        let (module, operation) = (first.clone(), "split otherwise");
        return Err(JobError::SeveralTerms { module, operation }.in_file(adapter.path()));
    }
    let targets = targets(adapter, base, Names::Adapter)?;
    if options.size.is_some() || options.factor.is_some() {
        check_kernels(adapter, &targets)?;
    }
    let resized = for_all(
        &targets,
        |target| &target.name,
        progress,
        |target| {
            let (new, energy) = resize_module(target, options).in_file(adapter.path())?;
            let old = target.module;
            let line = ResizedModule {
                name: target.name.clone(),
                w1: [old.w1().dim(), new.w1().dim()],
                w2: [old.w2().dim(), new.w2().dim()],
                rank: [old.rank(), new.rank()],
                norm: old.scale_by(ScaleRule::Trained)?.abs() * old.kron::<f64>()?.frobenius_norm(),
                energy,
            };
            Ok((new, line))
        },
    )?;
    let (mut modules, mut report) = (BTreeMap::new(), ResizeReport::default());
    for (target, (new, line)) in targets.iter().zip(resized) {
        report.parameters_before += target.module.parameter_count();
        report.parameters += new.parameter_count();
        report.modules.push(line);
        modules.insert(target.name.clone(), new);
    }
    report.energy = match adapter.dialect() {
        Dialect::Terms => kept_of_sums(&targets, &modules)?,
        _ => energy::captured(report.modules.iter().map(|module| (module.norm, module.energy))),
    };
    let adapter = adapter.with_modules(modules, adapter.modules_to_save().clone(), base)?;
    Ok(Resized { adapter, report })
}

/// The share of the energy of sums of terms that is kept. Terms need not be orthogonal, so that their own shares do not
/// add up.
fn kept_of_sums(targets: &[Target<'_>], modules: &BTreeMap<String, Module>) -> Result<f64> {
    type Sums<'a> = BTreeMap<&'a str, Vec<(f64, Kron<'static, f64>)>>;
    let (mut sums, mut differences) = (Sums::new(), Sums::new());
    for Target { name, module, .. } in targets {
        let path = Dialect::Terms.path(name);
        let (old, new) = (module, &modules[name]);
        let term = |module: &Module| -> Result<_> { Ok((module.scale_by(ScaleRule::Trained)?, module.kron::<f64>()?)) };
        let (weight, kron) = term(new)?;
        differences.entry(path).or_default().extend([term(old)?, (-weight, kron)]);
        sums.entry(path).or_default().push(term(old)?);
    }
    let squares = |sums: Sums<'_>| -> Result<f64> {
        let mut total = 0.0;
        for sum in sums.values() {
            for (v, first) in sum {
                for (w, second) in sum {
                    total += v * w * first.inner(second)?;
                }
            }
        }
        Ok(total)
    };
    let (lost, all) = (squares(differences)?, squares(sums)?);
    Ok(if all > 0.0 { (1.0 - lost / all).clamp(0.0, 1.0) } else { 1.0 })
}

/// The module and the share of its energy that is kept.
fn resize_module(target: &Target<'_>, options: &ResizeOptions) -> Result<(Module, f64)> {
    let (old, kernel) = (target.module, target.kernel());
    if options.factor.is_none() && options.size.is_none() {
        let Some(dtype) = options.dtype else {
            return Ok((old.clone(), 1.0));
        };
        let round = |key: &'static str, tensor: &Tensor| match key {
            DORA_SCALE => Ok(tensor.clone()),
            _ => tensor.scaled(&format!("{}.{key}", target.name), 1.0, dtype),
        };
        return Ok((old.clone().map_tensors(round)?, 1.0));
    }
    let kron = old.kron::<f64>()?;
    let shape = kron.shape();
    let new_shape = match options.factor {
        None => shape,
        Some(factor) => {
            let (out, columns) = shape.dim();
            let (m, p) = factorization(out, factor, options.rule)?;
            let (n, q) = factorization(columns / product(kernel).max(1), factor, options.rule)?;
            KronShape::new(m, n, p, q * product(kernel))?
        }
    };
    let (a, b, split_energy) = if new_shape == shape {
        (kron.a().to_dense(), kron.b().view().into_owned(), 1.0)
    } else {
        resplit(&kron, new_shape)?
    };
    let (b, held_energy) = match options.size {
        None if new_shape == shape => (b, 1.0),
        size => {
            let sized = size_factor(b, kernel, size.unwrap_or_default())?;
            (sized.factor, sized.energy)
        }
    };
    let ranks = match &b {
        Factor::Full(_) => None,
        Factor::LowRank(low) => Some(low.rank()),
    };
    if new_shape == shape && ranks == old.w2().rank() && options.dtype.is_none_or(|dtype| dtype == stored_dtype(old)) {
        return Ok((old.clone(), 1.0));
    }
    let dtype = options.dtype.unwrap_or_else(|| stored_dtype(old));
    let scale = old.scale_by(ScaleRule::Trained)?;
    let new = NewModule { name: &target.name, kernel, dtype, scale }.of(&a, &b)?;
    let new = match old.dora_scale() {
        Some(dora_scale) => new.with_dora_scale(dora_scale.clone())?,
        None => new,
    };
    Ok((new, split_energy * held_energy))
}

/// The nearest product with factors of another shape, and its share of the energy.
fn resplit(kron: &Kron<'_, f64>, to: KronShape) -> Result<(Array2<f64>, Factor<'static, f64>, f64)> {
    let from = kron.shape();
    let options = NearestOptions { tolerance: 1e-10, ..NearestOptions::default() };
    let nearest = |matrix: &Array2<f64>, shape| -> Result<(Array2<f64>, Array2<f64>, f64)> {
        let found = nearest_kron(matrix, shape, 1, &options)?;
        Ok((found.terms[0].a().to_dense(), found.terms[0].b().to_dense(), found.energy))
    };
    if from.m.is_multiple_of(to.m) && from.n.is_multiple_of(to.n) {
        let (a, c, energy) = nearest(&kron.a().to_dense(), KronShape::new(to.m, to.n, from.m / to.m, from.n / to.n)?)?;
        return Ok((a, Kron::new(c, kron.b().view())?.to_dense().into(), energy));
    }
    if to.m.is_multiple_of(from.m) && to.n.is_multiple_of(from.n) {
        let (c, b, energy) = nearest(&kron.b().to_dense(), KronShape::new(to.m / from.m, to.n / from.n, to.p, to.q)?)?;
        return Ok((Kron::new(kron.a().view(), c)?.to_dense(), b.into(), energy));
    }
    let (a, b, energy) = nearest(&kron.to_dense(), to)?;
    Ok((a, b.into(), energy))
}
