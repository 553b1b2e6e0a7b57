//! What another algorithm changes in the form that a dialect has for it.

use super::place::PlacedOther;
use super::rename::Namer;
use crate::dialects::Dialect;
use crate::error::{ModuleError, Result};
use crate::file::Tensor;
use crate::module::{Change, Difference, LORA, LORA_MID, OtherModule, ScaleRule};

/// The module under its name in the dialect of `namer`, with the scale that `rule` gives, and as programs that read
/// this dialect spell it: LyCORIS and kohya's scripts `lora_down`, `lora_up` and `lora_mid`; ComfyUI and ai-toolkit
/// `lora_A` and `lora_B`. A bias that belongs to a LoRA becomes a difference, which all of them read.
pub(super) fn fit_other(placed: PlacedOther, namer: &Namer<'_>, is_kept: bool, rule: ScaleRule) -> Result<OtherModule> {
    let PlacedOther { module, place } = placed;
    let dialect = namer.dialect;
    if matches!(dialect, Dialect::Peft | Dialect::Terms) {
        let (module, reason) = (module.name().to_owned(), "it is no LoKr, and this dialect holds nothing else");
        return Err(ModuleError::CannotHold { module, dialect, reason }.into());
    }
    let name = if is_kept { module.name().to_owned() } else { namer.name(&place)? };
    let scale = module.scale_by(rule);
    if !scale.is_finite() {
        return Err(ModuleError::AlphaNotFinite { module: name, alpha: scale }.into());
    }
    let module = place_scale(module.renamed(&name), scale)?;
    let change = match module.change() {
        _ if is_kept => return Ok(module),
        Change::Lora(lora) => {
            let keys = if dialect == Dialect::Dotted && !lora.is_tucker() { LORA[1] } else { LORA[0] };
            Change::Lora(lora.spelled([keys.up, keys.down, LORA_MID]))
        }
        Change::Difference(bias) if LORA.iter().any(|keys| keys.bias == bias.key()) => {
            let key = format!("{name}.{}", bias.key());
            let values = bias.tensor().scaled(&key, module.scale(), bias.tensor().float_type(&key)?)?;
            let whole = Change::Difference(Difference::new(&name, ("diff_b", values))?);
            return module.with_change(whole).with_origin(1.0, None, None);
        }
        _ => return Ok(module),
    };
    Ok(module.with_change(change))
}

/// The scale beside the factors; one of 0, which LyCORIS reads as the rank, in the first of them.
fn place_scale(module: OtherModule, scale: f64) -> Result<OtherModule> {
    let (alpha, norms) = (module.alpha().filter(|_| module.scale() == scale), module.dora_scale().cloned());
    if scale != 0.0 {
        return module.with_origin(scale, alpha, norms);
    }
    let first = module.tensors()[0].0;
    let fold = |key: &'static str, tensor: &Tensor| match key == first {
        true => tensor.scaled(key, 0.0, tensor.float_type(key)?),
        false => Ok(tensor.clone()),
    };
    module.map_tensors(fold)?.with_origin(1.0, None, norms)
}
