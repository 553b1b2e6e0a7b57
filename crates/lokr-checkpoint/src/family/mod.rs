//! What the tensors of known models are called, and in which rows of one tensor the parts of several lie: one table per
//! family of models.
//!
//! - `table`: the lines of a table. Each says which other name a module has, or which parts its rows are.
//! - `pattern`: names with places for numbers; `places`: what stands before names in files of several models.
//! - the families, a file each: `flux`, `flux2`, `chroma`, `z_image`, `qwen_image`, `wan`, `hunyuan_video`, `unet`
//!   (Stable Diffusion 1 and 2, and SDXL), `sd3`, `krea2`, `hidream`, `anima`, `ace_step`, `ltx`, `open_clip`; and
//!   `generic`, the lines that hold for any model.
//!
//! A table is read both ways: a model that stores a line's name has its parts too, and a model that stores the parts
//! has the name. Each file says which program its facts are taken from. This room knows names and sizes only; it uses
//! no other.

mod ace_step;
mod anima;
mod chroma;
mod flux;
mod flux2;
mod generic;
mod hidream;
mod hunyuan_video;
mod krea2;
mod ltx;
mod open_clip;
mod pattern;
mod places;
mod qwen_image;
mod sd3;
mod table;
mod unet;
mod wan;
mod z_image;

use std::collections::HashMap;
use std::sync::LazyLock;

pub(crate) use generic::GENERIC;
pub(crate) use pattern::Spelling;
pub(crate) use places::{BODY, TEXT};
pub(crate) use table::{Family, Lines, Share, shares};

/// The families known, in no order that matters.
static FAMILIES: LazyLock<Vec<Family>> = LazyLock::new(|| {
    vec![
        flux::family(),
        flux2::family(),
        chroma::family(),
        z_image::family(),
        qwen_image::family(),
        wan::family(),
        hunyuan_video::family(),
        unet::family(),
        sd3::family(),
        krea2::family(),
        hidream::family(),
        anima::family(),
        ace_step::family(),
        ltx::family(),
        open_clip::family(),
    ]
});

/// The families that know the most of these names; several where they know equally many, none where none knows any.
pub(crate) fn of<'a>(names: impl Iterator<Item = &'a str>, spelling: Spelling) -> Vec<&'static Family> {
    let names = kinds(names);
    let known = |family: &Family| names.iter().filter(|name| family.knows(name, spelling)).count();
    let counts: Vec<_> = FAMILIES.iter().map(|family| (known(family), family)).collect();
    let most = counts.iter().map(|(count, _)| *count).max().filter(|most| *most > 0);
    counts.into_iter().filter(|(count, _)| Some(*count) == most).map(|(_, family)| family).collect()
}

/// Names that differ in more than numbers, and few of those that do not: what a model of many blocks is recognised by.
fn kinds<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    const OF_A_KIND: usize = 4;
    let mut counts: HashMap<String, usize> = HashMap::new();
    let few = |name: &&str| {
        let kind = name.chars().filter(|letter| !letter.is_ascii_digit()).collect();
        let count = counts.entry(kind).or_default();
        *count += 1;
        *count <= OF_A_KIND
    };
    names.filter(few).collect()
}
