//! The two names of each module of an OpenCLIP text encoder, which SDXL's second one and that of Stable Diffusion 2
//! are: its own, in checkpoints of one file, and those of `transformers`, which adapters carry.

/// The parts of a block: OpenCLIP's names and those of `transformers`.
const BLOCK: [(&str, &str); 6] = [
    ("attn_q_proj", "self_attn_q_proj"),
    ("attn_k_proj", "self_attn_k_proj"),
    ("attn_v_proj", "self_attn_v_proj"),
    ("attn_out_proj", "self_attn_out_proj"),
    ("mlp_c_fc", "mlp_fc1"),
    ("mlp_c_proj", "mlp_fc2"),
];

/// The underscored name that `transformers` has for an underscored one of OpenCLIP, or `None` when it is not one of a
/// linear layer.
pub(crate) fn to_transformers(name: &str) -> Option<String> {
    let (number, part) = name.strip_prefix("transformer_resblocks_")?.split_once('_')?;
    let number = number.parse::<u16>().ok()?;
    let (_, part) = BLOCK.into_iter().find(|(own, _)| *own == part)?;
    Some(format!("text_model_encoder_layers_{number}_{part}"))
}

/// The same for a path with dots.
pub(crate) fn to_transformers_dotted(path: &str) -> Option<String> {
    let (number, part) = path.strip_prefix("transformer.resblocks.")?.split_once('.')?;
    let number = number.parse::<u16>().ok()?;
    let (_, part) = BLOCK.into_iter().find(|(own, _)| own.split_once('_') == part.split_once('.'))?;
    let (module, rest) = part
        .strip_prefix("self_")
        .map_or_else(|| part.split_once('_'), |rest| rest.split_once('_').map(|(_, rest)| ("self_attn", rest)))?;
    Some(format!("text_model.encoder.layers.{number}.{module}.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_published_model() {
        for (own, transformers) in [
            ("transformer_resblocks_0_attn_q_proj", "text_model_encoder_layers_0_self_attn_q_proj"),
            ("transformer_resblocks_7_attn_v_proj", "text_model_encoder_layers_7_self_attn_v_proj"),
            ("transformer_resblocks_10_attn_out_proj", "text_model_encoder_layers_10_self_attn_out_proj"),
            ("transformer_resblocks_31_mlp_c_fc", "text_model_encoder_layers_31_mlp_fc1"),
            ("transformer_resblocks_31_mlp_c_proj", "text_model_encoder_layers_31_mlp_fc2"),
        ] {
            assert_eq!(to_transformers(own).as_deref(), Some(transformers), "{own}");
        }
        for (own, transformers) in [
            ("transformer.resblocks.7.attn.v_proj", "text_model.encoder.layers.7.self_attn.v_proj"),
            ("transformer.resblocks.10.attn.out_proj", "text_model.encoder.layers.10.self_attn.out_proj"),
            ("transformer.resblocks.31.mlp.c_fc", "text_model.encoder.layers.31.mlp.fc1"),
        ] {
            assert_eq!(to_transformers_dotted(own).as_deref(), Some(transformers), "{own}");
        }
        for name in ["transformer_resblocks_0_ln_1", "transformer_resblocks_x_mlp_c_fc", "resblocks_0_mlp_c_fc", ""] {
            assert_eq!(to_transformers(name), None, "{name}");
        }
    }
}
