//! `lokr check`, and the command that it tells.

use std::collections::BTreeMap;

use lokr_checkpoint::{FloatType, Overwrite, Tensor, write_tensors};
use ndarray::{ArrayD, IxDyn};
use serde_json::Value;

use crate::support::{Folder, case, fails, lokr, mlp, stderr, stdout, succeeds};

const PROGRAMS: [&str; 8] = ["comfyui", "forge", "invokeai", "diffusers", "peft", "lycoris", "kohya", "llama.cpp"];

fn values(shape: &[usize]) -> Tensor {
    let mut i = 0;
    let array = ArrayD::from_shape_simple_fn(IxDyn(shape), || {
        i += 1;
        (f64::from(i) * 0.7).sin()
    });
    Tensor::from_array(&array, FloatType::F32)
}

fn write(path: &str, tensors: &[(String, Tensor)]) {
    let tensors: BTreeMap<_, _> = tensors.iter().cloned().collect();
    write_tensors(path, &tensors, &BTreeMap::new(), Overwrite::Refuse).unwrap();
}

/// A linear layer and a convolution of two axes.
fn modules(names: [&str; 2]) -> Vec<(String, Tensor)> {
    vec![
        (format!("{}.lokr_w1", names[0]), values(&[2, 2])),
        (format!("{}.lokr_w2", names[0]), values(&[6, 4])),
        (format!("{}.alpha", names[0]), values(&[])),
        (format!("{}.lokr_w1", names[1]), values(&[2, 2])),
        (format!("{}.lokr_w2", names[1]), values(&[4, 2, 3, 3])),
        (format!("{}.alpha", names[1]), values(&[])),
    ]
}

fn report(args: &[&str]) -> (Option<i32>, Value) {
    let output = lokr(&[args, &["--json"]].concat());
    let report: Value =
        serde_json::from_str(&stdout(&output)).unwrap_or_else(|e| panic!("{args:?}: {e} {}", stderr(&output)));
    (output.status.code(), report["programs"][0].clone())
}

/// The words of a command line without quotes in it.
fn words(command: &str) -> Vec<&str> {
    assert!(!command.contains('\''), "{command}");
    command.split(' ').collect()
}

/// Whatever the names are, what is told makes the program read the file.
#[test]
fn what_is_told_to_do_helps() {
    for (names, weights) in [
        (["lycoris_a_b", "lycoris_c"], ["a.b", "c"]),
        (["lora_unet_a_b", "lora_unet_c"], ["model.diffusion_model.a.b", "model.diffusion_model.c"]),
        (["diffusion_model.a.b", "diffusion_model.c"], ["diffusion_model.a.b", "diffusion_model.c"]),
        (["blocks.0.q", "blocks.0.c"], ["blocks.0.q", "blocks.0.c"]),
        (["lora_unet_layers_0_a_b", "lora_unet_layers_0_c"], ["layers.0.a_b", "layers.0.c"]),
        (["lycoris_down_blocks_0_a", "lycoris_down_blocks_0_c"], ["down_blocks.0.a", "down_blocks.0.c"]),
    ] {
        let folder = Folder::new();
        let (adapter, base) = (folder.path("adapter.safetensors"), folder.path("base.safetensors"));
        write(&adapter, &modules(names));
        let weight = |i: usize, shape: &[usize]| (format!("{}.weight", weights[i]), values(shape));
        write(&base, &[weight(0, &[12, 8]), weight(1, &[8, 4, 3, 3])]);
        for program in PROGRAMS {
            let (code, answer) = report(&["check", &adapter, "--base", &base, "--for", program]);
            assert_eq!(code, Some(if answer["works"] == true { 0 } else { 4 }), "{answer}");
            let Some(command) = answer["command"].as_str() else {
                assert_eq!(answer["works"], true, "{answer}");
                continue;
            };
            let words = words(command);
            assert_eq!(words[0], "lokr");
            let (command, out) = (words[1], *words.last().unwrap());
            let ran =
                lokr(
                    &words[1..]
                        .iter()
                        .map(|word| {
                            if *word == "merged.safetensors" { folder.path("merged.safetensors").leak() } else { *word }
                        })
                        .collect::<Vec<_>>(),
                );
            assert_eq!(ran.status.code(), Some(0), "{program}: {words:?}: {}", stderr(&ran));
            if command == "convert" {
                let (code, after) = report(&["check", out, "--for", program]);
                assert_eq!(code, Some(0), "{program}: {words:?}: {after}");
            } else {
                // A convolution in a file for programs of linear layers only.
                assert_eq!((command, program), ("merge", "llama.cpp"));
                std::fs::remove_file(folder.path("merged.safetensors")).unwrap();
            }
        }
    }
}

#[test]
fn the_answer_is_told_by_module() {
    let folder = Folder::new();
    let adapter = folder.path("my adapter.safetensors");
    write(&adapter, &modules(["lora_unet_a", "lora_unet_b"]));
    let text = succeeds(&["check", &adapter, "--for", "comfyui"]);
    assert!(text.starts_with("ComfyUI reads all 2 modules of "), "{text}");

    let output = lokr(&["check", &adapter, "--for", "diffusers", "--for", "comfyui"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        stderr(&output).ends_with("my adapter.safetensors: not read as it is by diffusers\n"),
        "{}",
        stderr(&output)
    );
    let text = stdout(&output);
    assert!(text.contains("diffusers reads none of 2 modules of "), "{text}");
    assert!(text.contains("diffusers reads no LoKr") && text.contains("lora_unet_b"), "{text}");
    assert!(text.contains("--to kohya-lora --out '") && text.contains("my adapter-diffusers.safetensors'"), "{text}");
    assert!(text.contains("ComfyUI reads all 2 modules"), "{text}");

    // Without the model the command has a place for it.
    let (_, answer) = report(&["check", &adapter, "--for", "llama.cpp"]);
    assert!(answer["command"].as_str().unwrap().contains(" --base MODEL --to lora "), "{answer}");
    fails(&["check", "no/such/file", "--for", "comfyui"], 5);
    assert_eq!(lokr(&["check", &adapter, "--for", "word"]).status.code(), Some(2));
    assert_eq!(lokr(&["check", &adapter]).status.code(), Some(2));
}

#[test]
fn a_recorded_adapter_and_its_lora() {
    let folder = Folder::new();
    let adapter = case("peft_mlp_rank_alpha_pattern");
    succeeds(&["check", &adapter, "--base", &mlp("base.safetensors"), "--for", "peft"]);
    let lora = folder.path("lora");
    succeeds(&["convert", &adapter, "--to", "lora", "--out", &lora]);
    succeeds(&["check", &lora, "--for", "peft", "--for", "llama.cpp"]);
}
