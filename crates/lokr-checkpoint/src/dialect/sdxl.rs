//! The two names of each SDXL module: diffusers' and those of the original (SGM) checkpoint.

/// Modules outside the blocks.
const OUTSIDE: [(&str, &str); 6] = [
    ("conv_in", "input_blocks_0_0"),
    ("conv_out", "out_2"),
    ("time_embedding_linear_1", "time_embed_0"),
    ("time_embedding_linear_2", "time_embed_2"),
    ("add_embedding_linear_1", "label_emb_0_0"),
    ("add_embedding_linear_2", "label_emb_0_2"),
];

/// The SGM names of an underscored diffusers name: SDXL's, and that of Stable Diffusion 1 and 2 where it is another,
/// because the first block of the way up has no attention there.
pub(crate) fn sgm_names(name: &str) -> impl Iterator<Item = String> {
    let older = (name == "up_blocks_0_upsamplers_0_conv").then(|| "output_blocks_2_1_conv".to_owned());
    to_sgm(name).into_iter().chain(older)
}

/// SDXL's SGM name of an underscored diffusers name, or `None` when it is not one.
fn to_sgm(name: &str) -> Option<String> {
    if let Some((_, sgm)) = OUTSIDE.into_iter().find(|(diffusers, _)| *diffusers == name) {
        return Some(sgm.to_owned());
    }
    if let Some(rest) = name.strip_prefix("mid_block_") {
        return if let Some(rest) = rest.strip_prefix("attentions_0") {
            Some(format!("middle_block_1{}", boundary(rest)?))
        } else {
            let (j, rest) = index(rest.strip_prefix("resnets_")?)?;
            Some(format!("middle_block_{}{}", 2 * j, resnet(rest)?))
        };
    }
    let (down, rest) = match name.strip_prefix("down_blocks_") {
        Some(rest) => (true, rest),
        None => (false, name.strip_prefix("up_blocks_")?),
    };
    let (i, rest) = index(rest)?;
    let rest = rest.strip_prefix('_')?;
    let block = |offset: usize| {
        if down { format!("input_blocks_{}", 1 + 3 * i + offset) } else { format!("output_blocks_{}", 3 * i + offset) }
    };
    if let Some(rest) = rest.strip_prefix("attentions_") {
        let (j, rest) = index(rest)?;
        Some(format!("{}_1{}", block(j), boundary(rest)?))
    } else if let Some(rest) = rest.strip_prefix("resnets_") {
        let (j, rest) = index(rest)?;
        Some(format!("{}_0{}", block(j), resnet(rest)?))
    } else {
        match (down, rest) {
            (true, "downsamplers_0_conv") => Some(format!("{}_0_op", block(2))),
            (false, "upsamplers_0_conv") => Some(format!("{}_2_conv", block(2))),
            _ => None,
        }
    }
}

/// The number a text starts with (SDXL has fewer than 100 of anything), and the rest.
fn index(text: &str) -> Option<(usize, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok().filter(|&n| n < 100)?, boundary(rest)?))
}

/// The rest of a name, where it ends or goes on with `_`.
fn boundary(rest: &str) -> Option<&str> {
    (rest.is_empty() || rest.starts_with('_')).then_some(rest)
}

/// What follows a residual block's name.
fn resnet(rest: &str) -> Option<&'static str> {
    match rest {
        "_conv1" => Some("_in_layers_2"),
        "_conv2" => Some("_out_layers_3"),
        "_norm1" => Some("_in_layers_0"),
        "_norm2" => Some("_out_layers_0"),
        "_time_emb_proj" => Some("_emb_layers_1"),
        "_conv_shortcut" => Some("_skip_connection"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_published_model() {
        for (diffusers, sgm) in [
            ("conv_in", "input_blocks_0_0"),
            ("conv_out", "out_2"),
            ("time_embedding_linear_1", "time_embed_0"),
            ("time_embedding_linear_2", "time_embed_2"),
            ("add_embedding_linear_1", "label_emb_0_0"),
            ("add_embedding_linear_2", "label_emb_0_2"),
            ("down_blocks_0_resnets_1_conv1", "input_blocks_2_0_in_layers_2"),
            ("down_blocks_0_downsamplers_0_conv", "input_blocks_3_0_op"),
            (
                "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q",
                "input_blocks_4_1_transformer_blocks_0_attn1_to_q",
            ),
            ("down_blocks_1_resnets_0_conv_shortcut", "input_blocks_4_0_skip_connection"),
            ("down_blocks_2_attentions_1_proj_in", "input_blocks_8_1_proj_in"),
            ("mid_block_attentions_0_proj_out", "middle_block_1_proj_out"),
            ("mid_block_resnets_0_conv2", "middle_block_0_out_layers_3"),
            ("mid_block_resnets_1_time_emb_proj", "middle_block_2_emb_layers_1"),
            ("up_blocks_0_attentions_2_norm", "output_blocks_2_1_norm"),
            ("up_blocks_0_upsamplers_0_conv", "output_blocks_2_2_conv"),
            ("up_blocks_1_resnets_2_norm1", "output_blocks_5_0_in_layers_0"),
            ("up_blocks_2_resnets_0_norm2", "output_blocks_6_0_out_layers_0"),
        ] {
            assert_eq!(to_sgm(diffusers).as_deref(), Some(sgm), "{diffusers}");
        }
    }

    #[test]
    fn other_names_have_no_second_one() {
        for name in [
            "input_blocks_4_1_proj_in",
            "conv_in_2",
            "time_embedding_linear_0",
            "time_embedding_linear_3",
            "add_embedding_linear_3",
            "down_blocks_x_resnets_0_conv1",
            "down_blocks_1_resnets_0_conv3",
            "mid_block_attentions_01",
            "up_blocks_0_downsamplers_0_conv",
            "down_blocks_99999999999999999999_resnets_0_conv1",
            "",
        ] {
            assert_eq!(to_sgm(name), None, "{name}");
        }
    }
}
