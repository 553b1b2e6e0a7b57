//! LoRAs in the layouts of other programs, read as those programs read them.

use std::collections::BTreeMap;

use lokr_checkpoint::file::{OutputForm, check_output_form};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, Dtype, FloatType, Lora, LoraLayout, LoraOptions, LoraRank, ModuleError,
    NameError, OutputError, Overwrite, ReadOptions, ScaleRule, Tensor, TensorFile, to_lora,
};
use lokr_testing::Numbers;
use ndarray::{Array2, ArrayD, IxDyn};

use crate::support::build::{CONFIG, Folder, base, cause, filled, go_on, peft, random, read, tensor};

/// Factors of a change, with values of their own.
fn factors(name: &str, seed: u64, shapes: &[(&'static str, &[usize])]) -> Vec<(String, Tensor)> {
    let key = |suffix: &str| format!("{name}.{suffix}");
    let tensors = shapes
        .iter()
        .enumerate()
        .map(|(i, (suffix, shape))| (key(suffix), Tensor::from_array(&random(shape, seed + i as u64), FloatType::F32)));
    tensors.collect()
}

fn adapter(tensors: &[(String, Tensor)]) -> Adapter {
    read(&tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect::<Vec<_>>()).unwrap()
}

fn made(adapter: &Adapter, base: Option<&BaseModel>, layout: LoraLayout) -> Lora {
    to_lora(adapter, base, &LoraOptions { layout, ..LoraOptions::default() }, &mut go_on).unwrap()
}

/// A tensor as rows of so many columns.
fn matrix(tensor: &Tensor) -> Array2<f64> {
    let values = tensor.to_array::<f64>("half").unwrap();
    let rows = values.shape()[0];
    let columns = values.len() / rows;
    values.into_shape_with_order((rows, columns)).unwrap()
}

/// What ComfyUI, kohya's scripts and diffusers make of a module: `alpha / rank · up · down`, and 1 in place of the
/// first where there is no `alpha`.
fn change(tensors: &BTreeMap<String, Tensor>, module: &str, weight: &[usize]) -> ArrayD<f64> {
    let of = |names: [&str; 2]| names.into_iter().find_map(|name| tensors.get(&format!("{module}.{name}")));
    let down = of(["lora_down.weight", "lora_A.weight"]).unwrap();
    let up = of(["lora_up.weight", "lora_B.weight"]).unwrap();
    let rank = down.shape()[0];
    assert_eq!((&down.shape()[1..], &up.shape()[..2]), (&weight[1..], &[weight[0], rank][..]), "{module}");
    assert!(up.shape()[2..].iter().all(|&size| size == 1) && up.shape().len() == weight.len(), "{module}");
    let alpha = tensors.get(&format!("{module}.alpha"));
    let alpha = alpha.map_or(rank as f64, |alpha| {
        assert!(alpha.shape().is_empty());
        alpha.to_array::<f64>("alpha").unwrap().sum()
    });
    let product = matrix(up).dot(&matrix(down)) * (alpha / rank as f64);
    product.into_shape_with_order(IxDyn(weight)).unwrap()
}

fn norm(values: &ArrayD<f64>) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// `s·(w1 ⊗ w2)` by its definition, the kernel axes of `w2` in its columns.
fn kron(s: f64, w1: &Array2<f64>, w2: &Array2<f64>) -> Array2<f64> {
    let ((m, n), (p, q)) = (w1.dim(), w2.dim());
    Array2::from_shape_fn((m * p, n * q), |(row, column)| s * w1[[row / p, column / q]] * w2[[row % p, column % q]])
}

/// Tensors, the changes that they stand for, and the shapes of the weights.
type Three = (Vec<(String, Tensor)>, Vec<ArrayD<f64>>, [Vec<usize>; 3]);

/// An adapter of a linear layer with full factors, another one with a low-rank second factor and a scale, and a
/// convolution, with the changes that they stand for.
fn three(names: [&str; 3]) -> Three {
    let mut tensors = factors(names[0], 1, &[("lokr_w1", &[2, 3]), ("lokr_w2", &[7, 5])]);
    tensors.extend(factors(names[1], 11, &[("lokr_w1", &[3, 2]), ("lokr_w2_a", &[5, 2]), ("lokr_w2_b", &[2, 4])]));
    tensors.push((format!("{}.alpha", names[1]), filled(&[], 3.0)));
    tensors.extend(factors(names[2], 21, &[("lokr_w1", &[2, 2]), ("lokr_w2", &[3, 2, 3, 3])]));
    let shapes = [vec![14, 15], vec![15, 8], vec![6, 4, 3, 3]];
    let value = |key: String| matrix(&tensors.iter().find(|(name, _)| *name == key).unwrap().1);
    let of = |name: &str, suffix: &str| value(format!("{name}.{suffix}"));
    let low_rank = of(names[1], "lokr_w2_a").dot(&of(names[1], "lokr_w2_b"));
    let changes = [
        kron(1.0, &of(names[0], "lokr_w1"), &of(names[0], "lokr_w2")),
        kron(1.5, &of(names[1], "lokr_w1"), &low_rank),
        kron(1.0, &of(names[2], "lokr_w1"), &of(names[2], "lokr_w2")),
    ];
    let changes = changes.into_iter().zip(&shapes);
    let changes = changes.map(|(change, shape)| change.into_shape_with_order(IxDyn(shape)).unwrap()).collect();
    (tensors, changes, shapes)
}

fn assert_same(lora: &Lora, modules: [&str; 3], changes: &[ArrayD<f64>], shapes: &[Vec<usize>]) {
    for ((module, right), shape) in modules.iter().zip(changes).zip(shapes) {
        let off = norm(&(change(&lora.tensors, module, shape) - right)) / norm(right);
        assert!(off < 1e-6, "{module}: {off:e}");
    }
    let names: std::collections::BTreeSet<_> =
        lora.tensors.keys().map(|key| key.split(".lora_").next().unwrap().trim_end_matches(".alpha")).collect();
    assert_eq!(names, modules.into_iter().collect());
}

#[test]
fn kohyas_and_dotted_files_are_the_same_change() {
    let dotted = ["diffusion_model.double_blocks.0.img_attn.qkv", "diffusion_model.out.a_b", "diffusion_model.conv"];
    let flat = ["lora_unet_double_blocks_0_img_attn_qkv", "lora_unet_out_a_b", "lora_unet_conv"];
    let (tensors, changes, shapes) = three(dotted);
    let adapter = adapter(&tensors);
    assert_same(&made(&adapter, None, LoraLayout::Dotted), dotted, &changes, &shapes);
    let kohya = made(&adapter, None, LoraLayout::Kohya);
    assert_same(&kohya, flat, &changes, &shapes);
    let alpha = &kohya.tensors["lora_unet_out_a_b.alpha"];
    assert_eq!((alpha.dtype(), alpha.to_array::<f64>("alpha").unwrap().sum()), (Dtype::F32, 4.0));
    assert!(kohya.config.is_empty());
    // A prefix of one's own, in place of the usual one.
    let options =
        LoraOptions { layout: LoraLayout::Dotted, prefix: Some("transformer.".into()), ..LoraOptions::default() };
    let own = to_lora(&adapter, None, &options, &mut go_on).unwrap();
    assert!(
        own.tensors.contains_key("transformer.double_blocks.0.img_attn.qkv.lora_A.weight"),
        "{:?}",
        own.tensors.keys()
    );
}

#[test]
fn underscored_names_need_a_base_only_where_dots_are_wanted() {
    let (tensors, changes, shapes) =
        three(["lora_unet_a_b", "lora_te_text_model_encoder_layers_0_mlp_fc1", "lora_unet_c"]);
    let kohya = adapter(&tensors);
    let names = ["lora_unet_a_b", "lora_te_text_model_encoder_layers_0_mlp_fc1", "lora_unet_c"];
    assert_same(&made(&kohya, None, LoraLayout::Kohya), names, &changes, &shapes);
    let options = LoraOptions { layout: LoraLayout::Dotted, ..LoraOptions::default() };
    cause(to_lora(&kohya, None, &options, &mut go_on), |e| matches!(e, E::Name(NameError::BaseNeeded { .. })));

    // A checkpoint of one file: ComfyUI has no `model.` before its names, and calls CLIP as diffusers does.
    let folder = Folder::new();
    let weights = [
        ("model.diffusion_model.a.b.weight", tensor(&shapes[0])),
        ("cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight", tensor(&shapes[1])),
        ("model.diffusion_model.c.weight", tensor(&shapes[2])),
    ];
    let model = base(&folder, &weights);
    let dotted = ["diffusion_model.a.b", "text_encoder.text_model.encoder.layers.0.mlp.fc1", "diffusion_model.c"];
    assert_same(&made(&kohya, Some(&model), LoraLayout::Dotted), dotted, &changes, &shapes);
    assert_same(&made(&kohya, Some(&model), LoraLayout::Kohya), names, &changes, &shapes);

    // LyCORIS's names are those of an image model.
    let (tensors, changes, shapes) = three(["lycoris_a_b", "lycoris_b", "lycoris_c"]);
    let names = ["lora_unet_a_b", "lora_unet_b", "lora_unet_c"];
    assert_same(&made(&adapter(&tensors), None, LoraLayout::Kohya), names, &changes, &shapes);
}

/// How many text encoders there are, and with it their prefix, is the program's to count, not the base model's.
#[test]
fn names_of_the_same_kind_stay() {
    let plain: &[(&'static str, &[usize])] = &[("lokr_w1", &[2, 2]), ("lokr_w2", &[2, 2])];
    let folder = Folder::new();
    let model = base(&folder, &[("text_encoder.a.b.weight", tensor(&[4, 4]))]);
    let lora = made(&adapter(&factors("lora_te1_a_b", 1, plain)), Some(&model), LoraLayout::Kohya);
    assert!(lora.tensors.contains_key("lora_te1_a_b.lora_up.weight"), "{:?}", lora.tensors.keys());
    for (name, dotted) in [
        ("transformer.blocks.0.q", "transformer.blocks.0.q"),
        ("model.diffusion_model.a", "diffusion_model.a"),
        ("text_encoders.clip_l.transformer.a", "text_encoders.clip_l.transformer.a"),
        ("double_blocks.0.a", "diffusion_model.double_blocks.0.a"),
    ] {
        let tensors = [factors(name, 1, plain), vec![(format!("{name}.alpha"), filled(&[], 1.0))]].concat();
        let lora = made(&adapter(&tensors), None, LoraLayout::Dotted);
        assert!(lora.tensors.contains_key(&format!("{dotted}.lora_A.weight")), "{:?}", lora.tensors.keys());
    }
}

#[test]
fn low_rank_convolutions_get_their_kernel_from_the_base() {
    for (kernel, columns) in [(&[1, 1][..], 3), (&[3, 1], 9), (&[5], 15), (&[2, 2, 3], 36)] {
        let tensors =
            factors("lora_unet_c", 5, &[("lokr_w1", &[2, 2]), ("lokr_w2_a", &[5, 1]), ("lokr_w2_b", &[1, columns])]);
        let weight = [&[10, 6], kernel].concat();
        let folder = Folder::new();
        let model = base(&folder, &[("c.weight", tensor(&weight))]);
        let adapter = adapter(&tensors);
        let lora = made(&adapter, Some(&model), LoraLayout::Kohya);
        let right = adapter.modules()["lora_unet_c"].delta::<f64>(&weight, 1.0).unwrap();
        let off = norm(&(change(&lora.tensors, "lora_unet_c", &weight) - &right)) / norm(&right);
        assert!(off < 1e-6, "{kernel:?}: {off:e}");
    }
}

#[test]
fn a_rank_keeps_what_the_dense_decomposition_keeps() {
    let (tensors, changes, shapes) = three(["diffusion_model.a", "diffusion_model.b", "diffusion_model.c"]);
    let adapter = adapter(&tensors);
    for rank in [1, 3] {
        let options = LoraOptions { layout: LoraLayout::Dotted, rank: LoraRank::Best(rank), ..LoraOptions::default() };
        let lora = to_lora(&adapter, None, &options, &mut go_on).unwrap();
        for (i, module) in ["diffusion_model.a", "diffusion_model.b", "diffusion_model.c"].into_iter().enumerate() {
            let off = norm(&(change(&lora.tensors, module, &shapes[i]) - &changes[i]));
            // The rest after the largest values, each found by power iteration and taken off.
            let mut left = matrix(&Tensor::from_array(&changes[i], FloatType::F64));
            for _ in 0..rank {
                let mut v = Array2::from_shape_simple_fn((left.ncols(), 1), || 1.0);
                let mut numbers = Numbers::new(7);
                v.mapv_inplace(|_| numbers.next());
                for _ in 0..4000 {
                    v = left.t().dot(&left.dot(&v));
                    let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
                    v /= length;
                }
                left = &left - &left.dot(&v).dot(&v.t());
            }
            let best = left.iter().map(|x| x * x).sum::<f64>().sqrt();
            assert!((off - best).abs() < 1e-5 * norm(&changes[i]), "{module}, rank {rank}: {off} instead of {best}");
        }
    }
}

#[test]
fn a_scale_can_be_told() {
    let (tensors, changes, shapes) = three(["diffusion_model.a", "diffusion_model.b", "diffusion_model.c"]);
    let scale = ScaleRule::Fixed(0.25);
    let options = LoraOptions { layout: LoraLayout::Kohya, scale, ..LoraOptions::default() };
    let lora = to_lora(&adapter(&tensors), None, &options, &mut go_on).unwrap();
    let off = change(&lora.tensors, "lora_unet_a", &shapes[0]) - &changes[0] * 0.25;
    assert!(norm(&off) < 1e-6 * norm(&changes[0]));
}

#[test]
fn files_are_whole_and_say_nothing_of_the_old_network() {
    let folder = Folder::new();
    let (tensors, ..) = three(["lora_unet_a", "lora_unet_b", "lora_unet_c"]);
    let tensors: Vec<_> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
    let texts = [("ss_network_module", "lycoris.kohya"), ("ss_network_dim", "8"), ("ss_sd_model_name", "mine")];
    let path = folder.tensors_with("lokr.safetensors", &tensors, &texts);
    let adapter = Adapter::read(path, &ReadOptions::default()).unwrap();
    let lora = made(&adapter, None, LoraLayout::Kohya);
    assert_eq!((LoraLayout::Kohya.form(), LoraLayout::Peft.form()), (OutputForm::File, OutputForm::Directory));
    let out = folder.path("lora.safetensors");
    lora.write(&out, Overwrite::Refuse).unwrap();
    let file = TensorFile::open(&out).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), lora.tensors.keys().collect::<Vec<_>>());
    assert_eq!(file.metadata().iter().collect::<Vec<_>>(), [(&"ss_sd_model_name".to_owned(), &"mine".to_owned())]);
    lora.write(folder.path("again.safetensors"), Overwrite::Refuse).unwrap();
    assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(folder.path("again.safetensors")).unwrap());
    cause(lora.write(&out, Overwrite::Refuse), |e| matches!(e, E::Output(OutputError::Exists)));
    // PEFT's is a directory, and no directory gets the name of a file.
    let refused = check_output_form(folder.path("peft.safetensors"), OutputForm::Directory);
    cause(refused, |e| matches!(e, E::Output(OutputError::DirectoryName { .. })));
}

#[test]
fn what_a_file_has_no_place_for_is_refused_by_name() {
    let folder = Folder::new();
    let adapter = peft(&folder, CONFIG, &[("base_model.model.head.weight", tensor(&[3, 2]))]).unwrap();
    for layout in [LoraLayout::Kohya, LoraLayout::Dotted] {
        let options = LoraOptions { layout, ..LoraOptions::default() };
        let refused = to_lora(&adapter, None, &options, &mut go_on);
        cause(refused, |e| matches!(e, E::Module(ModuleError::CannotHold { module, .. }) if module == "head.weight"));
    }
    // Two paths that become one name.
    let plain: &[(&'static str, &[usize])] = &[("lokr_w1", &[2, 2]), ("lokr_w2", &[2, 2])];
    let twins = [factors("diffusion_model.a.b_c", 1, plain), factors("diffusion_model.a_b.c", 3, plain)].concat();
    let options = LoraOptions { layout: LoraLayout::Kohya, ..LoraOptions::default() };
    let refused = to_lora(&self::adapter(&twins), None, &options, &mut go_on);
    cause(refused, |e| matches!(e, E::Name(NameError::DuplicateTarget { target, .. }) if target == "lora_unet_a_b_c"));
}
