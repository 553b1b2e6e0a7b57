//! The UNets of Stable Diffusion 1, 2 and XL: the original names (SGM, LDM) and those of diffusers.
//!
//! Source: `unet_to_diffusers` in ComfyUI's `comfy/utils.py`, and `convert_ldm_unet_checkpoint` in diffusers'
//! `loaders/single_file_utils.py`. Blocks are counted within a level by diffusers and through all levels by the
//! original; a level has two residual blocks on the way down and three on the way up.

use super::table::{Family, Line, Lines, same};

/// Levels of the largest of them; SDXL has three.
const LEVELS: usize = 4;

const RESNET: [(&str, &str); 6] = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
];

const OUTSIDE: [(&str, &str); 9] = [
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("add_embedding.linear_1", "label_emb.0.0"),
    ("add_embedding.linear_2", "label_emb.0.2"),
    ("class_embedding.linear_1", "label_emb.0.0"),
    ("class_embedding.linear_2", "label_emb.0.2"),
];

pub(super) fn family() -> Family {
    let mut lines: Vec<_> = OUTSIDE.iter().map(|(diffusers, sgm)| same(diffusers, sgm)).collect();
    for level in 0..LEVELS {
        for block in 0..2 {
            let sgm = format!("input_blocks.{}", 1 + 3 * level + block);
            lines.extend(resnet(&format!("down_blocks.{level}.resnets.{block}"), &format!("{sgm}.0")));
            lines.push(attention(&format!("down_blocks.{level}.attentions.{block}"), &format!("{sgm}.1")));
        }
        let sampler = format!("input_blocks.{}.0.op", 3 + 3 * level);
        lines.push(same(&format!("down_blocks.{level}.downsamplers.0.conv"), &sampler));
        for block in 0..3 {
            let sgm = format!("output_blocks.{}", 3 * level + block);
            lines.extend(resnet(&format!("up_blocks.{level}.resnets.{block}"), &format!("{sgm}.0")));
            lines.push(attention(&format!("up_blocks.{level}.attentions.{block}"), &format!("{sgm}.1")));
        }
        // It stands behind the attention, or where that would be in a level without.
        for place in [1, 2] {
            let sampler = format!("output_blocks.{}.{place}.conv", 3 * level + 2);
            lines.push(same(&format!("up_blocks.{level}.upsamplers.0.conv"), &sampler));
        }
    }
    lines.extend(resnet("mid_block.resnets.0", "middle_block.0"));
    lines.push(attention("mid_block.attentions.0", "middle_block.1"));
    lines.extend(resnet("mid_block.resnets.1", "middle_block.2"));
    Family { name: "Stable Diffusion 1, 2, XL", lines: Lines(lines), common: &[] }
}

fn resnet(diffusers: &str, sgm: &str) -> [Line; 6] {
    RESNET.map(|(part, original)| same(&format!("{diffusers}.{part}"), &format!("{sgm}.{original}")))
}

/// A transformer, whose modules are called the same.
fn attention(diffusers: &str, sgm: &str) -> Line {
    same(&format!("{diffusers}.*"), &format!("{sgm}.*"))
}
