//! `lokr merge`, `lokr unmerge` and `lokr verify`.

use std::path::Path;

use crate::support::{Folder, MLP, bad, bad_adapters, case, fails, json, lokr, mlp, stderr, succeeds};
use lokr_checkpoint::TensorFile;

/// The largest difference between two files with the same tensors.
fn difference(first: &str, second: &str) -> f64 {
    let (first, second) = (TensorFile::open(first).unwrap(), TensorFile::open(second).unwrap());
    assert!(first.names().eq(second.names()));
    let array = |file: &TensorFile, name: &str| file.tensor(name).unwrap().to_array::<f64>(name).unwrap();
    let differences = first.names().map(|name| {
        let (x, y) = (array(&first, name), array(&second, name));
        x.iter().zip(&y).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
    });
    differences.fold(0.0, f64::max)
}

#[test]
fn merge_verify_and_unmerge() {
    let folder = Folder::new();
    let (merged, again) = (folder.path("merged.safetensors"), folder.path("base.safetensors"));
    let (base, adapter) = (mlp("base.safetensors"), case(MLP));
    let text = succeeds(&["merge", "--base", &base, "--adapter", &adapter, "--out", &merged]);
    assert!(text.contains("3 tensors changed, 2 copied as they were"), "{text}");
    assert!(difference(&merged, &mlp("merged.safetensors")) < 1e-6, "the merge that PEFT recorded");
    for model in [&merged, &mlp("merged.safetensors")] {
        let report = json(&["verify", "--base", &base, "--adapter", &adapter, "--merged", model]);
        assert_eq!(report["verdict"], "match");
    }
    succeeds(&["unmerge", "--merged", &merged, "--adapter", &adapter, "--out", &again]);
    assert!(difference(&again, &base) < 1e-6);
    assert_eq!(folder.count(), 2, "nothing else is left");
}

#[test]
fn verify_tells_how_much_of_the_change_is_there() {
    let args = ["verify", "--base", &mlp("base.safetensors"), "--adapter", &case(MLP), "--merged"];
    let output = lokr(&[&args[..], &[&mlp("base.safetensors"), "--json"]].concat());
    assert_eq!(output.status.code(), Some(4));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "mismatch");
    assert_eq!(report["tensors"].as_array().unwrap().iter().filter(|t| t["share"] == 0.0).count(), 3);
    assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));

    // What LyCORIS's own merge writes has the scale twice.
    let (base, adapter) = (case("kohya_unet/base.safetensors"), case("kohya_unet/adapter.safetensors"));
    let merged = case("kohya_unet/merged.safetensors");
    let args = ["verify", "--base", &base, "--adapter", &adapter, "--merged", &merged];
    assert_eq!(lokr(&args).status.code(), Some(4));
    succeeds(&[&args[..], &["--scale", "like-lycoris-merge"]].concat());
    let effective = case("kohya_unet/effective.safetensors");
    succeeds(&["verify", "--base", &base, "--adapter", &adapter, "--merged", &effective]);
}

#[test]
fn multipliers_belong_to_adapters_in_order() {
    let folder = Folder::new();
    let out = &folder.path("merged.safetensors");
    let (base, adapter) = (mlp("base.safetensors"), case(MLP));
    let args = ["merge", "--base", &base, "--out", out, "--adapter", &adapter, "--multiplier", "1.5"];
    fails(&[&args[..], &["--adapter", &adapter]].concat(), 2);
    assert_eq!(
        lokr(&["merge", "--base", &base, "--out", out, "--adapter", &adapter, "--multiplier", "NaN"]).status.code(),
        Some(2)
    );
    assert_eq!(folder.count(), 0);
    let report = json(&[&args[..], &["--adapter", &adapter, "--multiplier", "-0.5"]].concat());
    assert_eq!(report["adapters"][1]["multiplier"], -0.5);
    assert!(difference(out, &mlp("merged.safetensors")) < 3e-6, "1.5 − 0.5 = 1");
}

#[test]
fn a_dry_run_writes_nothing() {
    let folder = Folder::new();
    let out = folder.path("merged.safetensors");
    let args = ["--base", &mlp("base.safetensors"), "--adapter", &case(MLP), "--out", &out];
    let report = json(&[&["merge", "--dry-run"][..], &args].concat());
    assert_eq!((&report["dry_run"], report["weights"].as_array().unwrap().len()), (&true.into(), 3));
    assert_eq!(folder.count(), 0);
}

#[test]
fn an_existing_output_stays_unless_forced() {
    let folder = Folder::new();
    let out = folder.path("merged.safetensors");
    std::fs::write(&out, "mine").unwrap();
    let args = ["merge", "--base", &mlp("base.safetensors"), "--adapter", &case(MLP), "--out", &out];
    assert!(fails(&args, 2).contains("--force"));
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");
    assert_eq!(succeeds(&[&args[..], &["--force", "--quiet"]].concat()), "");
    assert!(difference(&out, &mlp("merged.safetensors")) < 1e-6);
    assert_eq!(folder.count(), 1);
}

#[test]
fn a_folder_that_is_not_there_is_5() {
    let out = "/no/such/folder/merged.safetensors";
    fails(&["merge", "--base", &mlp("base.safetensors"), "--adapter", &case(MLP), "--out", out], 5);
    fails(&["merge", "--base", "/no/such/model", "--adapter", &case(MLP), "--out", out], 5);
}

/// Every file of `bad/` but the controls: exit code 3, and an existing output stays as it is, even with `--force`.
#[test]
fn bad_files_change_nothing() {
    let folder = Folder::new();
    let (base, out) = (bad("base.safetensors"), folder.path("merged.safetensors"));
    std::fs::write(&out, "mine").unwrap();
    for name in bad_adapters() {
        for command in [["merge", "--base"], ["unmerge", "--merged"]] {
            let rest = [&base, "--adapter", &bad(&name), "--out", &out, "--force", "--allow-unmatched"];
            let error = fails(&[&command[..], &rest].concat(), 3);
            assert!(error.contains(&name), "{error}");
        }
        fails(&["verify", "--base", &base, "--adapter", &bad(&name), "--merged", &base], 3);
    }
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");
    assert_eq!(folder.count(), 1);
    for name in ["control_good.safetensors", "peft_control_good"] {
        succeeds(&["merge", "--base", &base, "--adapter", &bad(name), "--out", &out, "--force"]);
    }
}

#[test]
fn an_output_that_cannot_be_written_leaves_everything_as_it_was() {
    let folder = Folder::new();
    let old = folder.path("old.safetensors");
    std::fs::write(&old, "an older output").unwrap();
    let mut places = vec![folder.path("missing/out.safetensors"), folder.path("old.safetensors/out.safetensors")];
    if cfg!(target_os = "linux") {
        places.push("/proc/out.safetensors".into()); // no space there
    }
    let (base, adapter) = (mlp("base.safetensors"), case(MLP));
    for out in &places {
        let text = fails(&["merge", "--base", &base, "--adapter", &adapter, "--force", "--out", out], 5);
        assert!(text.starts_with("error: "), "{text}");
        assert!(!Path::new(out).exists());
    }
    assert_eq!(std::fs::read(&old).unwrap(), b"an older output");
    assert_eq!(folder.count(), 1, "nothing else is left");
}

/// Where the permissions of a folder hold: not for the system's administrator.
#[cfg(unix)]
#[test]
fn a_read_only_folder_stays_as_it_was() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    let old = &folder.path("out.safetensors");
    std::fs::write(old, "an older output").unwrap();
    let permit = |mode| std::fs::set_permissions(folder.root(), std::fs::Permissions::from_mode(mode)).unwrap();
    permit(0o555);
    let holds = std::fs::write(folder.path("probe"), "").is_err();
    if holds {
        let (base, adapter) = (mlp("base.safetensors"), case(MLP));
        fails(&["merge", "--base", &base, "--adapter", &adapter, "--force", "--out", old], 5);
    }
    permit(0o755);
    assert_eq!(std::fs::read(old).unwrap(), b"an older output");
    assert_eq!(folder.count(), if holds { 1 } else { 2 });
}

/// What will fail in the end fails before the work, in a dry run too.
#[test]
fn a_directory_with_other_files_is_refused_at_once() {
    let folder = Folder::new();
    for name in ["base", "out"] {
        std::fs::create_dir(folder.path(name)).unwrap();
        std::fs::copy(mlp("base.safetensors"), folder.path(name) + "/model.safetensors").unwrap();
    }
    std::fs::write(folder.path("out/notes.txt"), "mine").unwrap();
    let args = [
        "merge",
        "--base",
        &folder.path("base"),
        "--adapter",
        &case(MLP),
        "--out",
        &folder.path("out"),
        "--force",
        "--dry-run",
    ];
    let error = fails(&args, 2);
    assert!(error.contains("also holds notes.txt"), "{error}");
    std::fs::remove_file(folder.path("out/notes.txt")).unwrap();
    succeeds(&args);
}

#[test]
fn reports_say_what_was_done_to_which_tensors() {
    let folder = Folder::new();
    let merged = mlp("merged.safetensors");
    let text = succeeds(&[
        "unmerge",
        "--merged",
        &merged,
        "--adapter",
        &case(MLP),
        "--multiplier",
        "0.5",
        "--out",
        &folder.path("u.st"),
    ]);
    assert!(text.contains("multiplier 0.5") && text.contains("W − μ·s"), "{text}");
    let text = succeeds(&["verify", "--base", &mlp("base.safetensors"), "--adapter", &case(MLP), "--merged", &merged]);
    assert!(text.contains("2 other tensors are the base model's"), "{text}");
}
