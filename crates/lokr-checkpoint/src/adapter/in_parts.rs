//! Modules of weights that a base model keeps in parts.

use super::place::{Place, PlacedModule};
use crate::dialects::Dialect;
use crate::error::{ModuleError, Result};
use crate::model::{BaseModel, Piece};

/// The modules, with one for each part in place of a module whose weight lies in several tensors of the base model,
/// where the rows of `w1` can be shared out so. Others keep the name of the whole, which PEFT finds nowhere.
pub(super) fn in_parts(placed: Vec<PlacedModule>, base: &BaseModel, dialect: Dialect) -> Result<Vec<PlacedModule>> {
    let mut all = Vec::with_capacity(placed.len());
    for module in placed {
        match cut(&module, base)? {
            Cut::Whole => all.push(module),
            Cut::Parts(parts) => all.extend(parts),
            Cut::Impossible if dialect == Dialect::Peft => {
                let reason = "the base model keeps it in parts, among which the rows of its factors cannot be shared out; \
                              convert it to LoRA, or without the base model";
                return Err(ModuleError::CannotHold { module: module.name, dialect, reason }.into());
            }
            Cut::Impossible => all.push(module),
        }
    }
    Ok(all)
}

enum Cut {
    /// Nothing to cut.
    Whole,
    Parts(Vec<PlacedModule>),
    Impossible,
}

fn cut(placed: &PlacedModule, base: &BaseModel) -> Result<Cut> {
    let (Place::Path(path), Some(weight)) = (&placed.place, &placed.weight) else { return Ok(Cut::Whole) };
    let pieces = base.pieces(&format!("{path}.weight")).unwrap_or_default();
    if pieces.len() < 2 {
        return Ok(Cut::Whole);
    }
    let mut first = 0;
    let mut parts = Vec::with_capacity(pieces.len());
    for Piece { tensor, rows } in pieces {
        let whole = base.info(&tensor).filter(|(_, shape)| shape.first() == Some(&rows.len()));
        let own = first..first + rows.len();
        first = own.end;
        let (Some((_, shape)), Some(path)) = (whole, tensor.strip_suffix(".weight")) else {
            return Ok(Cut::Impossible);
        };
        let Some(module) = placed.module.rows(weight, own)? else { return Ok(Cut::Impossible) };
        let (name, weight) = (placed.name.clone(), Some(shape.to_vec()));
        parts.push(PlacedModule { module, name, place: Place::Path(path.to_owned()), weight });
    }
    Ok(Cut::Parts(parts))
}
