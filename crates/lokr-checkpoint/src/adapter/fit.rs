//! A module in the form that a dialect has for it.

use super::warning::Warning;
use crate::dialects::Dialect;
use crate::error::{ModuleError, Result};
use crate::file::{Tensor, product};
use crate::module::{DoraAxis, Layout, Module, W1, W2};

/// What is known of a module's surroundings.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// The dialect it was read in, if it was.
    pub(super) source: Option<Dialect>,
    /// The dialect to write.
    pub(super) target: Dialect,
    /// The shape of the weight, where the base model is known.
    pub(super) weight: Option<&'a [usize]>,
    /// The scale it stands for.
    pub(super) scale: f64,
}

/// The module as `target` writes it, with the same effect; what changed beyond form is in `warnings`.
pub(super) fn fit(module: Module, to: Surroundings<'_>, warnings: &mut Vec<Warning>) -> Result<Module> {
    if !to.scale.is_finite() {
        return Err(ModuleError::AlphaNotFinite { module: module.name().to_owned(), alpha: to.scale }.into());
    }
    check(&module, to)?;
    let module = shape_w2(module, to)?;
    let module = shape_dora(module, to)?;
    place_scale(module, to, warnings)
}

fn check(module: &Module, to: Surroundings<'_>) -> Result<(), ModuleError> {
    let refuse = |reason| Err(ModuleError::CannotHold { module: module.name().to_owned(), dialect: to.target, reason });
    let peft = to.target == Dialect::Peft;
    match module.w2() {
        _ if peft && module.dora_scale().is_some() => refuse("PEFT's LoKr has no DoRA and ignores dora_scale"),
        w2 if peft && axes(w2, to) == 5 => refuse("PEFT has no LoKr of conv3d"),
        W2::Full(w2) if peft && cuts_kernel(w2, to) => refuse("its lokr_w2 is flat and cuts through the kernel"),
        W2::Full(w2) if peft && module.is_kronecker() && axes(module.w2(), to) == 3 => {
            refuse("PEFT lays a conv1d with a full lokr_w2 out in a way that is no Kronecker product")
        }
        _ if !peft && !module.is_kronecker() => Err(ModuleError::NotKronecker { module: module.name().to_owned() }),
        _ => Ok(()),
    }
}

/// Whether a flat factor is no whole number of kernels wide.
fn cuts_kernel(w2: &Tensor, to: Surroundings<'_>) -> bool {
    to.weight.is_some_and(|weight| !product(&w2.shape()[1..]).is_multiple_of(product(&weight[2..]).max(1)))
}

/// Axes of the weight, as far as known.
fn axes(w2: &W2, to: Surroundings<'_>) -> usize {
    to.weight.map_or_else(|| w2.kernel().map_or(0, |kernel| 2 + kernel.len()), <[usize]>::len)
}

/// Low-rank halves as matrices; Tucker cores of conv1d with the trailing axis that PEFT alone gives them; full factors
/// of convolutions with the axes of the kernel, unless they are flat and cut through it.
fn shape_w2(module: Module, to: Surroundings<'_>) -> Result<Module> {
    let w2 = match module.w2() {
        W2::LowRank { a, b } if b.shape().len() > 2 => {
            let (rank, columns) = (b.shape()[0], product(&b.shape()[1..]));
            W2::LowRank { a: a.clone(), b: b.reshaped(vec![rank, columns]) }
        }
        W2::Tucker { core, a, b } => match core_shape(&module, core.shape(), to)? {
            shape if shape == core.shape() => return Ok(module),
            shape => W2::Tucker { core: core.reshaped(shape), a: a.clone(), b: b.clone() },
        },
        W2::Full(w2) if w2.shape().len() == 2 => match to.weight {
            Some(weight) => {
                let (p, columns, kernel) = (w2.shape()[0], w2.shape()[1], product(&weight[2..]).max(1));
                if !columns.is_multiple_of(kernel) {
                    return Ok(module);
                }
                W2::Full(w2.reshaped([&[p, columns / kernel], &weight[2..]].concat()))
            }
            None => return Ok(module),
        },
        _ => return Ok(module),
    };
    Ok(module.with_w2(w2))
}

fn core_shape(module: &Module, core: &[usize], to: Surroundings<'_>) -> Result<Vec<usize>, ModuleError> {
    match (to.target, core) {
        (Dialect::Peft, &[r, _, kernel]) => Ok(vec![r, r, kernel, 1]),
        (Dialect::Peft, _) => Ok(core.to_vec()),
        (_, &[r, _, kernel, 1]) => match (to.weight, to.source) {
            (Some([_, _, _]), _) => Ok(vec![r, r, kernel]),
            (None, Some(Dialect::Peft)) => Err(ModuleError::CannotHold {
                module: module.name().to_owned(),
                dialect: to.target,
                reason: "its lokr_t2 may be that of a conv1d or of a conv2d; give the base model",
            }),
            _ => Ok(core.to_vec()),
        },
        _ => Ok(core.to_vec()),
    }
}

/// Norms with all axes of the weight, so that their shape says which they belong to.
fn shape_dora(module: Module, to: Surroundings<'_>) -> Result<Module> {
    let (Some(weight), Some(dora_scale)) = (to.weight, module.dora_scale()) else {
        return Ok(module);
    };
    let mut shape = vec![1; weight.len()];
    match module.dora_axis(weight)? {
        Some(DoraAxis::Input) => shape[1] = weight[1],
        _ => shape[0] = weight[0],
    }
    let dora_scale = dora_scale.reshaped(shape);
    module.with_dora_scale(dora_scale)
}

/// The scale where the dialect has a place for it, or else in the first factor.
fn place_scale(module: Module, to: Surroundings<'_>, warnings: &mut Vec<Warning>) -> Result<Module> {
    let (s, layout) = (to.scale, module.layout());
    let expressible = match (to.target, module.rank()) {
        (Dialect::Peft, _) => return Ok(module.with_origin(Some(s), None, layout)),
        // LyCORIS reads 0 as the rank.
        (_, Some(_)) => s != 0.0,
        (_, None) => s == 1.0,
    };
    let alpha = module.alpha();
    if expressible {
        return Ok(module.with_origin(Some(s), alpha, layout));
    }
    warnings.push(Warning::ScaleFolded { module: module.name().to_owned(), scale: s });
    let first = match module.w1() {
        W1::Full(_) => "lokr_w1",
        W1::LowRank { .. } => "lokr_w1_a",
    };
    let name = module.name().to_owned();
    let fold = |key: &'static str, tensor: &Tensor| {
        if key != first {
            return Ok(tensor.clone());
        }
        let name = format!("{name}.{key}");
        tensor.scaled(&name, s, tensor.float_type(&name)?)
    };
    Ok(module.map_tensors(fold)?.with_origin(Some(1.0), None, Layout::Kronecker))
}
