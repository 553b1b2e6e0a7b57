//! Which programs read which files, by what their sources say.

use std::path::PathBuf;

use lokr_checkpoint::{
    BaseModel, CheckReport, CheckpointError as E, ConvertTo, Dialect, FileError, Fit, LoraLayout, Program, ReadOptions,
    Remedy, Tensor, check,
};

use crate::support::Case;
use crate::support::build::{CONFIG, Folder, base, cause, filled, tensor};

/// Full factors of a module, with an `alpha`.
fn full(name: &str) -> Vec<(String, Tensor)> {
    vec![
        (format!("{name}.alpha"), filled(&[], 1.0)),
        (format!("{name}.lokr_w1"), tensor(&[2, 2])),
        (format!("{name}.lokr_w2"), tensor(&[3, 3])),
    ]
}

fn file(folder: &Folder, tensors: &[(String, Tensor)]) -> PathBuf {
    let tensors: Vec<_> = tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.clone())).collect();
    folder.tensors("adapter.safetensors", &tensors)
}

fn asked(tensors: &[(String, Tensor)], model: Option<&BaseModel>, program: Program) -> CheckReport {
    let folder = Folder::new();
    check(&file(&folder, tensors), model, &[program], &ReadOptions::default()).unwrap().remove(0)
}

/// Whether a program reads a LoKr module of that name.
fn reads(program: Program, name: &str) -> bool {
    asked(&full(name), None, program).works
}

#[test]
fn names_are_those_that_programs_look_up() {
    let all = [Program::ComfyUi, Program::Forge, Program::InvokeAi, Program::Lycoris, Program::Kohya];
    for (name, readers) in [
        ("diffusion_model.double_blocks.0.img_attn.qkv", &all[..3]),
        ("lora_unet_double_blocks_0_img_attn_qkv", &all),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", &all),
        ("lycoris_down_blocks_0_attentions_0_proj_in", &[all[0], all[1], all[3]]),
        ("lycoris_transformer_blocks_0_attn_to_q", &[all[0], all[1], all[3]]),
        // Those of the original Flux are not among ComfyUI's names behind this prefix.
        ("lycoris_double_blocks_0_img_attn_qkv", &[all[3]]),
        ("transformer.transformer_blocks.0.attn.to_q", &all[..2]),
        ("transformer.blocks.0.attn1.to_q", &[]),
        ("model.diffusion_model.double_blocks.0.img_attn.qkv", &[]),
        ("diffusion_model.model.diffusion_model.a", &[]),
        ("double_blocks.0.img_attn.qkv", &[]),
        ("lora_transformer_single_transformer_blocks_0_attn_to_q", &all[..3]),
    ] {
        for program in all {
            assert_eq!(reads(program, name), readers.contains(&program), "{program}: {name}");
        }
        for program in [Program::Diffusers, Program::LlamaCpp, Program::Peft] {
            assert!(!reads(program, name), "{program}: {name}");
        }
    }
}

#[test]
fn a_file_that_is_not_read_is_told_what_to_become() {
    let to = |name: &str, program| match asked(&full(name), None, program).remedy {
        Some(Remedy::Convert { to, needs_base: false }) => to,
        other => panic!("{name}, {program}: {other:?}"),
    };
    let (dotted, kohya) = (ConvertTo::Dialect(Dialect::Dotted), ConvertTo::Dialect(Dialect::Kohya));
    let flux = "double_blocks.0.img_attn.qkv";
    assert_eq!(to(flux, Program::ComfyUi), dotted);
    assert_eq!(to("lycoris_double_blocks_0_img_attn_qkv", Program::ComfyUi), kohya);
    assert_eq!(to("transformer.transformer_blocks.0.attn.to_q", Program::InvokeAi), kohya);
    // Of Flux.1 diffusers reads kohya's names only, of Z-Image and Wan dotted ones too.
    let diffusers = |name: &str| to(&format!("diffusion_model.{name}"), Program::Diffusers);
    assert_eq!(diffusers(flux), ConvertTo::Lora(LoraLayout::Kohya));
    assert_eq!(diffusers("layers.0.attention.to_q"), ConvertTo::Lora(LoraLayout::Dotted));
    assert_eq!(diffusers("blocks.0.self_attn.q"), ConvertTo::Lora(LoraLayout::Dotted));
    assert_eq!(to(flux, Program::Peft), ConvertTo::Dialect(Dialect::Peft));
    assert_eq!(to(flux, Program::LlamaCpp), ConvertTo::Lora(LoraLayout::Peft));
    assert_eq!(to("lora_unet_down_blocks_0_conv", Program::Diffusers), ConvertTo::Lora(LoraLayout::Kohya));
    // Dots cannot be made without the model.
    let report = asked(&full("lora_unet_a"), None, Program::LlamaCpp);
    assert_eq!(report.remedy, Some(Remedy::Convert { to: ConvertTo::Lora(LoraLayout::Peft), needs_base: true }));
    assert_eq!(report.problems.len(), 1, "a file instead of a directory: {report:?}");
}

#[test]
fn forms_that_a_program_cannot_rebuild_are_told_by_module() {
    let with = |more: &[(&str, Tensor)], gone: &[&str]| {
        let mut tensors = full("lora_unet_good");
        tensors.extend(full("lora_unet_m"));
        tensors.retain(|(key, _)| !gone.iter().any(|gone| *key == format!("lora_unet_m.{gone}")));
        tensors.extend(more.iter().map(|(suffix, tensor)| (format!("lora_unet_m.{suffix}"), tensor.clone())));
        tensors
    };
    let low_w1 = [("lokr_w1_a", tensor(&[2, 1])), ("lokr_w1_b", tensor(&[1, 2]))];
    let conv1d = [("lokr_w2", tensor(&[3, 3, 5]))];
    let dora = [("dora_scale", tensor(&[6, 1]))];
    let norms = |rows: usize| [("dora_scale", tensor(&[rows, if rows == 1 { 6 } else { 1 }]))];
    for (program, tensors, fit) in [
        (Program::ComfyUi, with(&low_w1, &["lokr_w1"]), Fit::Reads),
        (Program::Kohya, with(&low_w1, &["lokr_w1"]), Fit::Fails),
        (Program::Lycoris, with(&low_w1, &["lokr_w1"]), Fit::Fails),
        (Program::ComfyUi, with(&conv1d, &["lokr_w2"]), Fit::Fails),
        (Program::Lycoris, with(&conv1d, &["lokr_w2"]), Fit::Reads),
        (Program::ComfyUi, with(&dora, &[]), Fit::Differs),
        (Program::ComfyUi, with(&norms(1), &[]), Fit::Reads),
        (Program::Lycoris, with(&norms(1), &[]), Fit::Fails),
        (Program::InvokeAi, with(&dora, &[]), Fit::Fails),
        (Program::Lycoris, with(&[], &["alpha"]), Fit::Fails),
        (Program::ComfyUi, with(&[], &["alpha"]), Fit::Reads),
        (Program::Kohya, with(&[("diff_b", tensor(&[6]))], &[]), Fit::Differs),
    ] {
        let report = asked(&tensors, None, program);
        let found: Vec<_> = report.modules.iter().map(|module| (module.name.as_str(), module.fit)).collect();
        assert_eq!(found, [("lora_unet_good", Fit::Reads), ("lora_unet_m", fit)], "{program}: {report:?}");
        assert_eq!(report.works, fit == Fit::Reads);
        assert!(report.failing().all(|module| module.reason.is_some()));
    }
    // DoRA is no LoRA and no other dialect helps: what is left is a merge.
    assert_eq!(asked(&with(&dora, &[]), None, Program::ComfyUi).remedy, Some(Remedy::Merge));
}

#[test]
fn the_base_model_tells_whether_the_modules_are_there() {
    let folder = Folder::new();
    let model = base(&folder, &[("diffusion_model.blocks.0.a.weight", tensor(&[6, 6]))]);
    let tensors = [full("diffusion_model.blocks.0.a"), full("diffusion_model.blocks.1.a")].concat();
    assert!(asked(&tensors, None, Program::ComfyUi).works);
    let report = asked(&tensors, Some(&model), Program::ComfyUi);
    let failing: Vec<_> = report.failing().map(|module| module.name.as_str()).collect();
    assert_eq!((report.works, failing), (false, vec!["diffusion_model.blocks.1.a"]));
    let wrong = base(&folder, &[("diffusion_model.blocks.0.a.weight", tensor(&[6, 5]))]);
    let report = asked(&full("diffusion_model.blocks.0.a"), Some(&wrong), Program::ComfyUi);
    assert!(report.problems[0].contains("build a weight of (6, 6), expected (6, 5)"), "{report:?}");
}

#[test]
fn other_algorithms_are_answered_too() {
    let lora = |name: &str, [down, up]: [&str; 2]| {
        vec![(format!("{name}.{down}.weight"), tensor(&[2, 6])), (format!("{name}.{up}.weight"), tensor(&[6, 2]))]
    };
    let (kohya, peft) = (["lora_down", "lora_up"], ["lora_A", "lora_B"]);
    for (program, tensors, works) in [
        (Program::Diffusers, lora("lora_unet_double_blocks_0_img_attn_proj", kohya), true),
        (Program::Diffusers, lora("diffusion_model.blocks.0.self_attn.q", peft), true),
        (Program::Diffusers, lora("diffusion_model.double_blocks.0.img_attn.proj", peft), false),
        (Program::Diffusers, lora("lora_unet_a", peft), false),
        (Program::Kohya, lora("lora_unet_a", kohya), true),
        (Program::Kohya, lora("lora_unet_a", peft), false),
        (Program::ComfyUi, lora("diffusion_model.a", peft), true),
    ] {
        let report = asked(&tensors, None, program);
        assert_eq!(report.works, works, "{program}: {report:?}");
        // What is no LoKr is merged as well.
        let remedy = (!works).then_some(Remedy::Merge);
        assert_eq!((report.modules[0].algorithm, report.remedy), ("LoRA", remedy));
    }
    // Blocks of Flux.2 are named like those of Flux.1; their MLPs are wider.
    let mlp = [
        ("diffusion_model.double_blocks.0.img_mlp.0.lora_A.weight".to_owned(), tensor(&[1, 4])),
        ("diffusion_model.double_blocks.0.img_mlp.0.lora_B.weight".to_owned(), tensor(&[24, 1])),
    ];
    let proj = lora("diffusion_model.double_blocks.0.img_attn.proj", peft);
    assert!(asked(&[&proj[..], &mlp].concat(), None, Program::Diffusers).works);
}

#[test]
fn a_peft_directory_is_read_by_its_configuration() {
    let folder = Folder::new();
    let tensors = [
        ("base_model.model.m.lokr_w1", tensor(&[2, 5])),
        ("base_model.model.m.lokr_w2_a", tensor(&[3, 2])),
        ("base_model.model.m.lokr_w2_b", tensor(&[2, 2])),
    ];
    folder.tensors("adapter_model.safetensors", &tensors);
    folder.write("adapter_config.json", CONFIG);
    let asked = |program| check(&folder.root(), None, &[program], &ReadOptions::default()).unwrap().remove(0);
    assert!(asked(Program::Peft).works);
    let llama = asked(Program::LlamaCpp);
    assert!(!llama.works && llama.problems.is_empty(), "{llama:?}");
    assert_eq!(llama.modules[0].reason.as_deref(), Some("llama.cpp reads no LoKr"));
    let comfy = asked(Program::ComfyUi);
    assert_eq!(comfy.problems, ["ComfyUI opens a file, not PEFT's directory"]);
    assert!(matches!(comfy.remedy, Some(Remedy::Convert { .. })));
    folder.write("adapter_config.json", CONFIG.replace("LOKR", "LORA"));
    assert!(asked(Program::Peft).problems[0].contains("peft_type \"LORA\""));
    std::fs::remove_file(folder.path("adapter_config.json")).unwrap();
    assert_eq!(asked(Program::Peft).problems, ["adapter_config.json is not there"]);
}

/// What PEFT and LyCORIS wrote themselves they read, but for what LyCORIS is known to fail at (`tests/interop`).
#[test]
fn recorded_adapters_are_read_by_their_writers() {
    for case in Case::all() {
        let program = if case.is_peft() { Program::Peft } else { Program::Lycoris };
        let report = check(&case.adapter_path(), None, &[program], &ReadOptions::default()).unwrap().remove(0);
        let known = ["kohya_unet", "unbalanced", "dora_in", "tucker"].iter().any(|word| case.name().contains(word));
        assert_eq!(
            report.works,
            !known || case.name() == "kohya_unet_te_f16file",
            "{}: {:?}",
            case.name(),
            report.failing().collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_file_that_is_none_is_an_error() {
    let folder = Folder::new();
    let ask = |path: PathBuf| check(&path, None, &[Program::ComfyUi], &ReadOptions::default());
    cause(ask(folder.root()), |e| matches!(e, E::File(FileError::Missing { .. })));
    cause(ask(folder.write("a.safetensors", b"GGUF\x03\0\0\0")), |e| {
        matches!(e, E::File(FileError::OtherFormat { .. }))
    });
    cause(ask(folder.path("none")), |e| matches!(e, E::Io(_)));
}
