//! Files that are no safetensors files, and outputs of the wrong form.

use crate::support::{Folder, case, fails, mlp, succeeds};

#[test]
fn other_formats_are_named_by_their_content() {
    let folder = Folder::new();
    let adapter = case("lycoris_mlp_wrapper/adapter.safetensors");
    let out = folder.path("out.safetensors");
    for (name, bytes, says) in [
        ("model.gguf", &b"GGUF\x03\0\0\0\x01\0\0\0"[..], "a GGUF file"),
        ("model.safetensors", b"GGUF\x03\0\0\0\x01\0\0\0", "a GGUF file"),
        ("old.ckpt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "Python pickle"),
        ("new.pt", b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0archive/data.pkl", "PyTorch"),
        ("pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        ("page.safetensors", b"<!doctype html>\n<html>", "a web page"),
    ] {
        let path = folder.path(name);
        std::fs::write(&path, bytes).unwrap();
        for args in [
            &["inspect", &path][..],
            &["merge", "--base", &path, "--adapter", &adapter, "--out", &out],
            &["merge", "--base", &mlp("base.safetensors"), "--adapter", &path, "--out", &out],
            &["extract", "--base", &path, "--tuned", &path, "--out", &folder.path("out")],
        ] {
            let error = fails(args, 3);
            assert!(error.contains(&path) && error.contains(says) && !error.contains("bytes"), "{error}");
        }
    }
    // A name does not make a pickle: the content is asked first.
    let renamed = folder.path("adapter.ckpt");
    std::fs::copy(&adapter, &renamed).unwrap();
    succeeds(&["inspect", &renamed]);
}

#[test]
fn a_directory_is_not_called_like_a_file() {
    let folder = Folder::new();
    let (adapter, out) = (case("peft_mlp_rank_alpha_pattern"), folder.path("x.safetensors"));
    for to in ["lora", "peft"] {
        let error = fails(&["convert", &adapter, "--to", to, "--out", &out], 2);
        assert!(error.contains("directory") && error.contains("file"), "{error}");
    }
    let error = fails(&["convert", &adapter, "--to", "lora", "--out", &out], 2);
    assert!(error.contains("--to kohya-lora and --to dotted-lora write one file"), "{error}");
    fails(&["extract", "--base", &mlp("base.safetensors"), "--tuned", &mlp("merged.safetensors"), "--out", &out], 2);
    for to in ["kohya-lora", "dotted-lora"] {
        succeeds(&["convert", &adapter, "--to", to, "--rank", "2", "--dtype", "bf16", "--out", &out, "--force"]);
        assert!(std::path::Path::new(&out).is_file());
    }
    assert_eq!(folder.count(), 1);
    let directory = folder.path("directory");
    std::fs::create_dir(&directory).unwrap();
    fails(&["convert", &adapter, "--to", "kohya-lora", "--out", &directory, "--force"], 2);
}
