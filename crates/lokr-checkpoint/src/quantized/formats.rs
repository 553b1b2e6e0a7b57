//! Ways to store weights that are recognised and not read.

use super::beside::Beside;

/// Endings of names in place of `….weight`.
const INSTEAD: [&str; 8] =
    [".qweight", ".weight_packed", ".W_q", ".weight._data", "._weight_qdata", ".weight_qdata", ".codes", "_blocks"];

/// Endings of tensors that tell of a format where all of them are there, the more special ones first.
const FORMATS: [(&[&str], &str); 22] = [
    (&[".weight.quant_state.bitsandbytes__nf4"], "NF4 (bitsandbytes)"),
    (&[".weight.quant_state.bitsandbytes__fp4"], "FP4 (bitsandbytes)"),
    (&[".weight.absmax", ".weight.quant_map"], "NF4 or FP4 (bitsandbytes)"),
    (&[".weight.absmax"], "NF4 or FP4 (bitsandbytes)"),
    (&[".qweight", ".wscales"], "SVDQuant (Nunchaku)"),
    (&[".weight_proj_down", ".weight_proj_up"], "SVDQuant (Nunchaku)"),
    (&[".qweight", ".g_idx"], "GPTQ"),
    (&[".qweight", ".qzeros"], "AWQ, or GPTQ without g_idx"),
    (&[".qweight"], "GPTQ or AWQ"),
    (&[".weight_packed", ".weight_global_scale"], "NVFP4 (compressed-tensors)"),
    (&[".weight_packed"], "packed integers (compressed-tensors)"),
    (&[".weight_scale_2"], "NVFP4"),
    (&[".weight_s_rel"], "integers of four bits (ComfyUI's asym_w4a8_int8)"),
    (&[".weight_g_idx"], "integers with columns in another order (g_idx)"),
    (&[".pre_quant_scale"], "AWQ (pre_quant_scale)"),
    (&[".W_q"], "HQQ"),
    (&[".weight._data"], "Quanto"),
    (&["._weight_qdata"], "torchao"),
    (&[".weight_qdata"], "torchao"),
    (&[".codes", ".codebooks"], "AQLM"),
    (&["_blocks", "_scales"], "MXFP4"),
    (&[".weight_scales"], "EETQ"),
];

/// The module whose weight a tensor is, quantised or not.
pub(crate) fn module_of(name: &str) -> Option<&str> {
    let mut endings = std::iter::once(".weight").chain(INSTEAD);
    endings.find_map(|ending| name.strip_suffix(ending))
}

/// The format of a module's weight, where tensors beside it or in its place tell of one that is not read.
pub(super) fn refused(module: &str, beside: &Beside<'_>) -> Option<&'static str> {
    let is_here = |endings: &[&str]| endings.iter().all(|ending| beside.has(&format!("{module}{ending}")));
    FORMATS.iter().find(|(endings, _)| is_here(endings)).map(|&(_, format)| format)
}
