//! Adapters with the names of one program on models with those of another.
//!
//! The layouts are listed in `layouts.txt`, which names their sources. For each, a model of random values is made in
//! both, and what adapters do is computed here, densely.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::build::{Folder, cause, go_on, random};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, ConvertOptions, Dialect, ExtractOptions, FloatType, MergeOptions,
    ModuleError, NameError, ReadOptions, Strength, Tensor, Unmatched, Verdict, VerifyOptions, extract, merge, unmerge,
    verify,
};
use ndarray::linalg::kron;
use ndarray::{Array2, ArrayD, Axis, IxDyn, Slice, concatenate};

/// One line: a module, its shape, and what the second layout has in its place.
struct Line {
    name: String,
    shape: Vec<usize>,
    /// Names with their rows, in the order of the second layout's.
    others: Vec<(String, Vec<(usize, usize)>)>,
}

struct Layouts {
    family: String,
    lines: Vec<Line>,
}

fn layouts() -> Vec<Layouts> {
    let mut all: Vec<Layouts> = Vec::new();
    for line in include_str!("layouts.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(title) = line.strip_prefix('[') {
            let (family, source) = title.split_once(']').unwrap();
            assert!(!source.trim().is_empty());
            all.push(Layouts { family: family.to_owned(), lines: Vec::new() });
            continue;
        }
        let words: Vec<_> = line.split(' ').collect();
        let shape: Vec<usize> = words[1].split('x').map(|size| size.parse().unwrap()).collect();
        let rows = shape[0];
        let others = match words[2..] {
            [] => vec![(words[0].to_owned(), vec![(0, rows)])],
            ["=", other] => vec![(other.to_owned(), vec![(0, rows)])],
            ["~", other] => vec![(other.to_owned(), vec![(rows / 2, rows), (0, rows / 2)])],
            _ => {
                let mut start = 0;
                let parts = words[2..].chunks(3).map(|part| {
                    let size: usize = part[2].parse().unwrap();
                    start += size;
                    (part[1].to_owned(), vec![(start - size, start)])
                });
                let parts: Vec<_> = parts.collect();
                assert_eq!(start, rows, "{line}");
                parts
            }
        };
        all.last_mut().unwrap().lines.push(Line { name: words[0].to_owned(), shape, others });
    }
    assert!(all.len() > 20);
    all
}

/// Rows of an array, range by range.
fn rows(array: &ArrayD<f64>, ranges: &[(usize, usize)]) -> ArrayD<f64> {
    let parts: Vec<_> = ranges.iter().map(|&(a, b)| array.slice_axis(Axis(0), Slice::from(a..b))).collect();
    concatenate(Axis(0), &parts).unwrap()
}

/// Models by the names of tensors.
type Model = BTreeMap<String, ArrayD<f64>>;

impl Layouts {
    /// The model in its first layout, and in the second one.
    fn models(&self) -> [Model; 2] {
        let mut models = [Model::new(), Model::new()];
        for (seed, line) in self.lines.iter().enumerate() {
            let weight = random(&line.shape, seed as u64 + 1);
            let bias = random(&line.shape[..1], seed as u64 + 1001);
            for (parameter, values) in [("weight", weight), ("bias", bias)] {
                for (other, ranges) in &line.others {
                    models[1].insert(format!("{other}.{parameter}"), rows(&values, ranges));
                }
                models[0].insert(format!("{}.{parameter}", line.name), values);
            }
        }
        models
    }
}

fn save(folder: &Folder, name: &str, prefix: &str, model: &Model) -> BaseModel {
    let tensors: Vec<_> = model
        .iter()
        .map(|(name, values)| (format!("{prefix}{name}"), Tensor::from_array(values, FloatType::F64)))
        .collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    BaseModel::open(folder.tensors(name, &tensors)).unwrap()
}

/// An adapter of all weights of a model that are no vectors, and the changes it makes. With `spelling`, names as they
/// stand in its file.
fn adapter(folder: &Folder, file: &str, model: &Model, spelling: impl Fn(&str) -> String) -> (Adapter, Model) {
    let (mut tensors, mut changes) = (Vec::new(), Model::new());
    for (seed, (name, weight)) in model.iter().enumerate().filter(|(_, (_, weight))| weight.ndim() > 1) {
        let split = |size: usize| [4, 3, 2, 1].into_iter().find(|first| size.is_multiple_of(*first)).unwrap();
        let (m, n) = (split(weight.shape()[0]), split(weight.shape()[1]));
        let w1 = random(&[m, n], seed as u64 + 51);
        let shape = [&[weight.shape()[0] / m, weight.shape()[1] / n], &weight.shape()[2..]].concat();
        let w2 = random(&shape, seed as u64 + 501);
        let flat = |w: &ArrayD<f64>| {
            let rows = w.shape()[0];
            Array2::from_shape_vec((rows, w.len() / rows), w.iter().copied().collect()).unwrap()
        };
        let change = kron(&flat(&w1), &flat(&w2));
        changes.insert(
            name.clone(),
            ArrayD::from_shape_vec(IxDyn(weight.shape()), change.into_raw_vec_and_offset().0).unwrap(),
        );
        let module = spelling(name.strip_suffix(".weight").unwrap());
        for (key, values) in [("lokr_w1", &w1), ("lokr_w2", &w2)] {
            tensors.push((format!("{module}.{key}"), Tensor::from_array(values, FloatType::F64)));
        }
        let alpha = ArrayD::from_elem(IxDyn(&[]), 1.0);
        tensors.push((format!("{module}.alpha"), Tensor::from_array(&alpha, FloatType::F32)));
    }
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    (Adapter::read(folder.tensors(file, &tensors), &ReadOptions::default()).unwrap(), changes)
}

fn dotted(module: &str) -> String {
    format!("diffusion_model.{module}")
}

fn flat(prefix: &str, module: &str) -> String {
    format!("{prefix}{}", module.replace('.', "_"))
}

fn near(found: &ArrayD<f64>, right: &ArrayD<f64>, what: &str) {
    assert_eq!(found.shape(), right.shape(), "{what}");
    assert!(found.iter().zip(right).all(|(a, b)| (a - b).abs() < 1e-12), "{what}");
}

/// Every name of one layout is one of the other's tensors, or rows of it, or several.
#[test]
fn all_names_of_one_layout_are_known_in_the_other() {
    for layouts in layouts() {
        let models = layouts.models();
        for prefix in ["", "model.diffusion_model.", "net."] {
            if layouts.family == "OpenCLIP" && !prefix.is_empty() {
                continue;
            }
            let folder = Folder::new();
            for (stored, other) in [(0, 1), (1, 0)] {
                let base = save(&folder, "model.safetensors", prefix, &models[stored]);
                for (name, right) in &models[other] {
                    let name = format!("{prefix}{name}");
                    let what = format!("{}: {name}", layouts.family);
                    assert_eq!(base.info(&name).expect(&what).1, right.shape(), "{what}");
                    let found = base.tensor(&name).unwrap().to_array::<f64>(&name).unwrap();
                    assert_eq!(found, right, "{what}");
                }
            }
        }
    }
}

/// An adapter of either layout does the same to a model of either.
#[test]
fn adapters_of_either_layout_do_the_same_to_either_model() {
    for layouts in layouts() {
        let models = layouts.models();
        for trained in [0, 1] {
            let folder = Folder::new();
            let (named, changes) = adapter(&folder, "dotted.safetensors", &models[trained], dotted);
            let unet = adapter(&folder, "kohya.safetensors", &models[trained], |name| flat("lora_unet_", name)).0;
            let lycoris = adapter(&folder, "lycoris.safetensors", &models[trained], |name| flat("lycoris_", name)).0;
            // What the model becomes in the layout that the adapter was trained in, and from it in the other one.
            let mut right = [models[0].clone(), models[1].clone()];
            for line in &layouts.lines {
                let name = format!("{}.weight", line.name);
                for (other, ranges) in &line.others {
                    let other = format!("{other}.weight");
                    let mut change = ArrayD::zeros(models[1][&other].shape());
                    if trained == 1 {
                        let Some(found) = changes.get(&other) else { continue };
                        change.assign(found);
                        let mut start = 0;
                        for &(first, last) in ranges {
                            let part = rows(found, &[(start, start + last - first)]);
                            let whole = right[0].get_mut(&name).unwrap();
                            let mut place = whole.slice_axis_mut(Axis(0), Slice::from(first..last));
                            place += &part;
                            start += last - first;
                        }
                    } else {
                        let Some(found) = changes.get(&name) else { continue };
                        change.assign(&rows(found, ranges));
                    }
                    *right[1].get_mut(&other).unwrap() += &change;
                }
                if let Some(change) = changes.get(&name).filter(|_| trained == 0) {
                    *right[0].get_mut(&name).unwrap() += change;
                }
            }
            for stored in [0, 1] {
                let base = save(&folder, "model.safetensors", "", &models[stored]);
                for adapter in [&named, &unet, &lycoris] {
                    let what = format!("{}: {} {trained} on {stored}", layouts.family, adapter.dialect());
                    let adapters = [(adapter, Strength::default())];
                    let out = folder.path("merged.safetensors");
                    let _ = std::fs::remove_file(&out);
                    let report = merge(&base, &adapters, &out, &MergeOptions::default(), &mut go_on)
                        .unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert_eq!(report.adapters[0].modules, changes.len(), "{what}");
                    let merged = BaseModel::open(&out).unwrap();
                    assert_eq!(merged.names().collect::<Vec<_>>(), base.names().collect::<Vec<_>>());
                    for (name, right) in &right[stored] {
                        near(&merged.weight::<f64>(name).unwrap(), right, &format!("{what}: {name}"));
                    }
                    let check = |model| verify(&base, &adapters, model, &VerifyOptions::default(), &mut go_on).unwrap();
                    assert_eq!((check(&merged).verdict, check(&base).verdict), (Verdict::Match, Verdict::Mismatch));
                    let back = folder.path("back.safetensors");
                    let _ = std::fs::remove_file(&back);
                    unmerge(&merged, &adapters, &back, &MergeOptions::default(), &mut go_on).unwrap();
                    let back = BaseModel::open(&back).unwrap();
                    for (name, right) in &models[stored] {
                        near(&back.weight::<f64>(name).unwrap(), right, &format!("{what}, unmerged: {name}"));
                    }
                }
            }
        }
    }
}

/// What programs put before a path, and what stands before it in the model.
#[test]
fn prefixes_on_either_side_are_no_part_of_a_name() {
    let folder = Folder::new();
    let factors = [random(&[2, 3], 7), random(&[2, 4], 8)];
    for (name, weight) in [
        ("diffusion_model.blocks.0.self_attn.q_proj", "net.blocks.0.self_attn.q_proj"),
        ("net.blocks.0.self_attn.q_proj", "model.diffusion_model.blocks.0.self_attn.q_proj"),
        ("lora_unet_blocks_0_self_attn_q_proj", "net.blocks.0.self_attn.q_proj"),
        ("transformer.transformer_blocks.0.attn.to_out.0", "model.diffusion_model.double_blocks.0.img_attn.proj"),
        ("lora_transformer_transformer_blocks_0_attn_to_out_0", "double_blocks.0.img_attn.proj"),
        ("lycoris_transformer_blocks_0_attn_to_out_0", "model.diffusion_model.double_blocks.0.img_attn.proj"),
        ("layers.3.cross_attn.o_proj", "decoder.layers.3.cross_attn.o_proj"),
        ("lycoris_layers_3_cross_attn_o_proj", "decoder.layers.3.cross_attn.o_proj"),
        ("diffusion_model.decoder.layers.3.cross_attn.o_proj", "layers.3.cross_attn.to_out.0"),
        ("diffusion_model.layers.0.attention.to.q", "layers.0.attention.to_q"),
        ("unet.mid_block.resnets.0.conv1", "model.diffusion_model.middle_block.0.in_layers.2"),
        ("lora_te_layers_0_self_attn_q_proj", "model.layers.0.self_attn.q_proj"),
        ("text_encoders.clip_l.transformer.text_model.a", "conditioner.embedders.0.transformer.text_model.a"),
        (
            "text_encoder_2.text_model.encoder.layers.0.mlp.fc1",
            "conditioner.embedders.1.model.transformer.resblocks.0.mlp.c_fc",
        ),
        ("lora_te2_text_model_a", "text_encoders.clip_g.transformer.text_model.a"),
        ("lora_te2_encoder_block_0_a", "text_encoders.t5xxl.transformer.encoder.block.0.a"),
    ] {
        let base =
            save(&folder, "model.safetensors", "", &Model::from([(format!("{weight}.weight"), random(&[4, 12], 3))]));
        let adapter = read(&folder, &module(name, [&factors[0], &factors[1]], None));
        let resolution = adapter.resolve(&base, Unmatched::Refuse).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found = resolution.targets().next().unwrap().1;
        assert_eq!(found, format!("{weight}.weight"), "{name}");
    }
}

/// What is converted with the help of a model in either layout means the same weights of it.
#[test]
fn adapters_are_converted_with_a_model_of_either_layout() {
    for layouts in layouts().into_iter().filter(|layouts| ["Flux.1", "Z-Image", "Phi-3"].contains(&&*layouts.family)) {
        let models = layouts.models();
        for (trained, stored) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let folder = Folder::new();
            let base = save(&folder, "model.safetensors", "", &models[stored]);
            let named = adapter(&folder, "kohya.safetensors", &models[trained], |name| flat("lora_unet_", name)).0;
            let dotted = named.convert(&ConvertOptions::to(Dialect::Dotted), Some(&base)).unwrap().adapter;
            assert_eq!(dotted.dialect(), Dialect::Dotted);
            assert!(dotted.modules().len() >= named.modules().len());
            let merged = |adapter: &Adapter, name: &str| {
                let out = folder.path(name);
                let adapters = [(adapter, Strength::default())];
                merge(&base, &adapters, &out, &MergeOptions::default(), &mut go_on).unwrap();
                std::fs::read(out).unwrap()
            };
            assert!(merged(&named, "a.safetensors") == merged(&dotted, "b.safetensors"), "{}", layouts.family);
        }
    }
}

/// The rows of `w1` are shared out among the parts where they can be.
#[test]
fn a_fused_module_is_converted_to_one_for_each_part() {
    let models = attention().models();
    let folder = Folder::new();
    let fused = "model.layers.0.self_attn.qkv_proj";
    let norms = random(&[24, 1], 9).mapv(|x| 1.0 + x.abs());
    let base = save(&folder, "model.safetensors", "", &models[1]);
    // Blocks of 2 and of 4 rows fit parts of 16, 4 and 4; those of 3 and of 6 do not.
    for (first, fits) in [(12, true), (6, true), (8, false), (4, false)] {
        for norms in [None, Some(&norms)] {
            let factors = [random(&[first, 3], 7), random(&[24 / first, 4], 8)];
            let whole = read(&folder, &module(&dotted(fused), [&factors[0], &factors[1]], norms));
            let options =
                ConvertOptions { prefix: Some("diffusion_model.".to_owned()), ..ConvertOptions::to(Dialect::Dotted) };
            let parts = whole.convert(&options, Some(&base)).unwrap().adapter;
            let part = |part| dotted(&format!("model.layers.0.self_attn.{part}_proj"));
            let right = if fits { vec![part("k"), part("q"), part("v")] } else { vec![dotted(fused)] };
            assert_eq!(parts.modules().keys().cloned().collect::<Vec<_>>(), right);
            let merged = |adapter: &Adapter| {
                let out = folder.path("merged.safetensors");
                let _ = std::fs::remove_file(&out);
                merge(&base, &[(adapter, Strength::default())], &out, &MergeOptions::default(), &mut go_on).unwrap();
                std::fs::read(&out).unwrap()
            };
            assert!(merged(&parts) == merged(&whole), "{first}");
            let peft = whole.convert(&ConvertOptions::to(Dialect::Peft), Some(&base));
            if norms.is_none() && !fits {
                cause(
                    peft,
                    |e| matches!(e, E::Module(ModuleError::CannotHold { module, .. }) if *module == dotted(fused)),
                );
            }
        }
    }
}

/// The fine-tuned model may have the other names.
#[test]
fn models_of_two_layouts_are_compared() {
    for layouts in layouts().into_iter().filter(|layouts| ["SDXL", "Flux.1"].contains(&&*layouts.family)) {
        let models = layouts.models();
        for (stored, tuned) in [(0, 1), (1, 0)] {
            let folder = Folder::new();
            let base = save(&folder, "base.safetensors", "", &models[stored]);
            let (adapter, changes) = adapter(&folder, "adapter.safetensors", &models[stored], dotted);
            let other = save(&folder, "other.safetensors", "", &models[tuned]);
            let out = folder.path("tuned.safetensors");
            merge(&other, &[(&adapter, Strength::default())], &out, &MergeOptions::default(), &mut go_on).unwrap();
            let tuned = BaseModel::open(&out).unwrap();
            let found = extract(&base, &tuned, &ExtractOptions::default(), &mut go_on).unwrap();
            let names: BTreeSet<_> =
                found.report.modules.iter().map(|module| format!("{}.weight", module.name)).collect();
            assert_eq!(names, changes.keys().cloned().collect(), "{}", layouts.family);
            assert!(found.report.not_adapted.is_empty(), "{:?}", found.report.not_adapted);
        }
    }
}

/// A small attention by Llama's names, and by those of the fused layer; its heads are 4 wide, 4 of the query and 1.
fn attention() -> Layouts {
    layouts().into_iter().find(|layouts| layouts.family == "Phi-3").unwrap()
}

/// A LoKr of full factors by tensors; `norms` are those of DoRA.
fn module(name: &str, factors: [&ArrayD<f64>; 2], norms: Option<&ArrayD<f64>>) -> Vec<(String, Tensor)> {
    let stored =
        |key: &str, values: &ArrayD<f64>| (format!("{name}.{key}"), Tensor::from_array(values, FloatType::F64));
    let mut tensors = vec![stored("lokr_w1", factors[0]), stored("lokr_w2", factors[1])];
    tensors.push(stored("alpha", &ArrayD::from_elem(IxDyn(&[]), 1.0)));
    tensors.extend(norms.map(|norms| stored("dora_scale", norms)));
    tensors
}

/// Reads an adapter of these tensors, from a file of its own: files that are mapped must not change.
fn read(folder: &Folder, tensors: &[(String, Tensor)]) -> Adapter {
    let file =
        (0..).map(|number| format!("adapter{number}.safetensors")).find(|file| !folder.path(file).exists()).unwrap();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    Adapter::read(folder.tensors(&file, &tensors), &ReadOptions::default()).unwrap()
}

/// DoRA's norms over outputs are cut with the rows; those over inputs are of all rows, wherever these are stored, and
/// of what other adapters made of them.
#[test]
fn norms_of_a_fused_module_are_the_same_in_parts() {
    let models = attention().models();
    let fused = "model.layers.0.self_attn.qkv_proj";
    let (w1, w2) = (random(&[4, 3], 7), random(&[6, 4], 8));
    let part = "model.layers.0.self_attn.k_proj";
    let folder = Folder::new();
    let before = read(&folder, &module(&dotted(part), [&random(&[2, 3], 5), &random(&[2, 4], 6)], None));
    for shape in [&[24, 1][..], &[1, 12]] {
        let norms = random(shape, 9).mapv(|x| 1.0 + x.abs());
        let whole = read(&folder, &module(&dotted(fused), [&w1, &w2], Some(&norms)));
        for multiplier in [1.0, 0.5] {
            let strength = Strength { multiplier, ..Strength::default() };
            let two = |w: &ArrayD<f64>| w.view().into_dimensionality::<ndarray::Ix2>().unwrap().to_owned();
            // Densely, in the fused layout.
            let mut w = two(&models[0][&format!("{fused}.weight")]);
            let change = two(&before.modules()[&dotted(part)].delta::<f64>(&[4, 12], 1.0).unwrap());
            let mut rows = w.slice_mut(ndarray::s![16..20, ..]);
            rows += &change;
            let v = &w + &kron(&two(&w1), &two(&w2));
            let axis = if shape[1] == 1 { Axis(1) } else { Axis(0) };
            let lengths = v.mapv(|x| x * x).sum_axis(axis).mapv(|x| x.sqrt() + f64::EPSILON).insert_axis(axis);
            let right = &w + &((&v * &(&two(&norms) / &lengths) - &w) * multiplier);
            for model in &models {
                let base = save(&folder, "model.safetensors", "", model);
                let adapters = [(&before, Strength::default()), (&whole, strength)];
                let out = folder.path("merged.safetensors");
                let _ = std::fs::remove_file(&out);
                merge(&base, &adapters, &out, &MergeOptions::default(), &mut go_on).unwrap();
                let merged = BaseModel::open(&out).unwrap();
                near(&merged.weight::<f64>(&format!("{fused}.weight")).unwrap(), &right.clone().into_dyn(), "norms");
                let report = verify(&base, &adapters, &merged, &VerifyOptions::default(), &mut go_on).unwrap();
                assert_eq!(report.verdict, Verdict::Match);
            }
        }
    }
}

/// The change is that of the parts' own rows, with norms over their own inputs; the other rows keep their bits.
#[test]
fn norms_of_a_part_are_those_of_its_rows() {
    let models = attention().models();
    let folder = Folder::new();
    let part = "model.layers.0.self_attn.k_proj";
    let norms = random(&[1, 12], 9).mapv(|x| 1.0 + x.abs());
    let factors = [random(&[2, 3], 7), random(&[2, 4], 8)];
    let adapter = read(&folder, &module(&dotted(part), [&factors[0], &factors[1]], Some(&norms)));
    for multiplier in [1.0, 0.25] {
        let strength = Strength { multiplier, ..Strength::default() };
        let mut right = models[1][&format!("{part}.weight")].clone();
        adapter.modules()[&dotted(part)].merge_into(&mut right, &strength).unwrap();
        let base = save(&folder, "model.safetensors", "", &models[0]);
        let out = folder.path("merged.safetensors");
        let _ = std::fs::remove_file(&out);
        merge(&base, &[(&adapter, strength)], &out, &MergeOptions::default(), &mut go_on).unwrap();
        let merged = BaseModel::open(&out).unwrap();
        near(&merged.weight::<f64>(&format!("{part}.weight")).unwrap(), &right, "part");
        for other in ["q_proj", "v_proj"].map(|other| format!("model.layers.0.self_attn.{other}.weight")) {
            assert_eq!(merged.tensor(&other).unwrap().bytes(), base.tensor(&other).unwrap().bytes());
        }
    }
}

/// What a program leaves behind that fuses query, key and value: parts that nothing was trained of.
#[test]
fn zeros_beside_a_fused_module_are_left_out() {
    let models = attention().models();
    let folder = Folder::new();
    let path = |part: &str| format!("model.layers.0.self_attn.{part}");
    let fused = module(&dotted(&path("qkv_proj")), [&random(&[4, 3], 7), &random(&[6, 4], 8)], None);
    let zeros = ArrayD::zeros(IxDyn(&[2, 4]));
    let part = |values: &ArrayD<f64>| module(&dotted(&path("k_proj")), [&random(&[2, 3], 5), values], None);
    let both = read(&folder, &[fused.clone(), part(&zeros)].concat());
    let alone = read(&folder, &fused);
    for model in &models {
        let base = save(&folder, "model.safetensors", "", model);
        let resolution = both.resolve(&base, Unmatched::Refuse).unwrap();
        let names = |part| dotted(&path(part));
        assert_eq!(resolution.placeholders(), [(names("k_proj"), names("qkv_proj"))]);
        assert_eq!(resolution.targets().len(), 1);
        let merged = |adapter: &Adapter, name: &str| {
            let out = folder.path(name);
            let _ = std::fs::remove_file(&out);
            let report =
                merge(&base, &[(adapter, Strength::default())], &out, &MergeOptions::default(), &mut go_on).unwrap();
            (std::fs::read(out).unwrap(), report.adapters[0].placeholders.clone())
        };
        let (right, _) = merged(&alone, "alone.safetensors");
        let (found, placeholders) = merged(&both, "both.safetensors");
        assert_eq!(found, right);
        assert_eq!(placeholders, [names("k_proj")]);
        // One that does change something is no placeholder.
        let twice = read(&folder, &[fused.clone(), part(&random(&[2, 4], 6))].concat());
        cause(twice.resolve(&base, Unmatched::Refuse), |e| matches!(e, E::Name(NameError::DuplicateTarget { .. })));
    }
}

#[test]
fn rows_that_do_not_add_up_are_refused_by_name() {
    let folder = Folder::new();
    for (module_name, stored, other) in [
        ("m.k_proj", ("m.in_proj_weight", &[13, 12][..]), None),
        ("m.k_proj", ("m.qkv_proj.weight", &[24, 12]), Some(("m.o_proj.weight", &[12, 25][..]))),
        ("double_blocks.0.txt_attn.qkv", ("transformer_blocks.0.attn.add_q_proj.weight", &[12, 12]), Some(("x", &[1]))),
        // GPT-2 stores it transposed.
        ("h.0.attn.k_proj", ("h.0.attn.c_attn.weight", &[12, 36]), None),
        ("single_transformer_blocks.0.attn.to_q", ("single_blocks.0.linear1.weight", &[20, 12]), None),
    ] {
        let mut model = Model::from([(stored.0.to_owned(), random(stored.1, 3))]);
        model.extend(other.map(|(name, shape)| (name.to_owned(), random(shape, 4))));
        if module_name.contains("txt_attn") {
            // Parts of different widths.
            model.insert("transformer_blocks.0.attn.add_k_proj.weight".to_owned(), random(&[12, 8], 1));
            model.insert("transformer_blocks.0.attn.add_v_proj.weight".to_owned(), random(&[12, 12], 1));
        }
        let base = save(&folder, "model.safetensors", "", &model);
        let adapter = read(&folder, &module(&dotted(module_name), [&random(&[2, 3], 7), &random(&[2, 4], 8)], None));
        cause(
            adapter.resolve(&base, Unmatched::Allow),
            |e| matches!(e, E::Name(NameError::RowsDoNotAddUp { module, .. }) if module == module_name),
        );
    }
}

#[test]
fn what_fits_nothing_is_shown_beside_the_models_names() {
    let folder = Folder::new();
    let tensors = module("lora_unet_double_blocks_0_img_mod_lin", [&random(&[2, 3], 7), &random(&[2, 4], 8)], None);
    let adapter = read(&folder, &tensors);
    let name = "model.layers.0.mlp.up_proj";
    let base = save(&folder, "model.safetensors", "", &Model::from([(format!("{name}.weight"), random(&[4, 12], 3))]));
    let error = adapter.resolve(&base, Unmatched::Allow).unwrap_err();
    for part in ["lora_unet_double_blocks_0_img_mod_lin", name, "Flux.1", "--rename"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(!error.to_string().contains("LTX"), "{error}");
}

/// Quantised weights have a scale beside them, which is no weight of a norm.
#[test]
fn a_scale_beside_a_weight_is_no_weight() {
    let folder = Folder::new();
    let mut model = Model::from([("m.qkv_proj.weight".to_owned(), random(&[36, 12], 3))]);
    model.insert("m.qkv_proj.scale".to_owned(), random(&[1], 4));
    model.insert("layers.0.attention.q_norm.scale".to_owned(), random(&[3], 5));
    let base = save(&folder, "model.safetensors", "", &model);
    assert_eq!(base.info("m.k_proj.weight").unwrap().1, [12, 12]);
    assert_eq!(base.info("layers.0.attention.norm_q.weight").unwrap().1, [3]);
}

#[test]
fn a_path_itself_comes_before_one_behind_a_models_name() {
    let folder = Folder::new();
    let model = ["blocks.0.a", "net.blocks.0.a"].map(|name| (format!("{name}.weight"), random(&[4, 12], 3)));
    let base = save(&folder, "model.safetensors", "", &model.into_iter().collect());
    let factors = [random(&[2, 3], 7), random(&[2, 4], 8)];
    for (name, right) in [
        ("lora_unet_blocks_0_a", "blocks.0.a.weight"),
        ("lycoris_blocks_0_a", "blocks.0.a.weight"),
        ("net.blocks.0.a", "net.blocks.0.a.weight"),
    ] {
        let adapter = read(&folder, &module(name, [&factors[0], &factors[1]], None));
        assert_eq!(adapter.resolve(&base, Unmatched::Refuse).unwrap().target(name), Some(right));
    }
}

#[test]
fn every_name_in_the_list_is_unique() {
    for layouts in layouts() {
        let names: Vec<_> = layouts.lines.iter().map(|line| &line.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{}", layouts.family);
    }
}
