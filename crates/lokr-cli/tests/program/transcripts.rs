//! Every transcript in README.md, the book and the other pages is what the program prints.
//!
//! A transcript is a fenced block that begins with a line `$ lokr …`. The lines that begin with `$ ` are its
//! commands, with a blank line before each but the first, and what follows a command is all that it prints:
//! standard output, then standard error. `$ echo $?` shows the exit code of the command before it. The commands of
//! a page run in their order in a fresh copy of `examples/adapters`, so that one can use what another wrote.
//!
//! There is no transcript of `lokr doctor`, whose numbers are those of one machine.
//!
//! `LOKR_UPDATE_TRANSCRIPTS=1 cargo test -p lokr-cli transcripts` writes what was printed into the pages instead.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The files that people try the commands on, and the recorded cases that they are copies of.
const COPIES: [(&str, &str); 9] = [
    ("character.safetensors", "kohya_unet/adapter.safetensors"),
    ("damaged.safetensors", "bad/missing_w2_b.safetensors"),
    ("merged-elsewhere.safetensors", "kohya_unet/merged.safetensors"),
    ("model.safetensors", "peft_mlp_rank_alpha_pattern/base.safetensors"),
    ("my-adapter/adapter_config.json", "peft_mlp_rank_alpha_pattern/adapter_config.json"),
    ("my-adapter/adapter_model.safetensors", "peft_mlp_rank_alpha_pattern/adapter_model.safetensors"),
    ("style.safetensors", "lycoris_mlp_wrapper/adapter.safetensors"),
    ("tuned.safetensors", "peft_mlp_rank_alpha_pattern/merged.safetensors"),
    ("unet.safetensors", "kohya_unet/base.safetensors"),
];

#[test]
fn transcripts_are_what_the_program_prints() {
    let update = std::env::var_os("LOKR_UPDATE_TRANSCRIPTS").is_some();
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for page in pages() {
        let text = read(&page);
        let name = page.strip_prefix(root()).unwrap().display().to_string().replace('\\', "/");
        let blocks = blocks(&text);
        let commands =
            blocks.iter().flat_map(|block| text[block.clone()].lines()).filter(|line| is_command(line)).count();
        let written = text.lines().filter(|line| is_command(line.trim_start())).count();
        assert_eq!(commands, written, "{name}: `$ lokr` stands outside of a fenced block that begins with it");

        let (folder, mut new, mut copied) = (copy_of_the_examples(), String::new(), 0);
        for block in &blocks {
            let expected = &text[block.clone()];
            let printed = replay(expected, folder.path());
            let same = alike(expected, &printed);
            if !same {
                let line = text[..block.start].lines().count() + 1;
                wrong.push(format!("{name}, line {line}, has\n\n{expected}\nwhere the program prints\n\n{printed}"));
            }
            new += &text[copied..block.start];
            new += if same { expected } else { &printed };
            copied = block.end;
        }
        new += &text[copied..];
        if update && new != text {
            fs::write(&page, new).unwrap();
        }
        found.extend(blocks.iter().map(|_| name.clone()));
    }
    for page in ["README.md", "docs/program.md"] {
        assert!(found.iter().any(|name| name == page), "{page} has no transcript");
    }
    assert!(
        update || wrong.is_empty(),
        "{}\n\n(LOKR_UPDATE_TRANSCRIPTS=1 writes what is printed into the pages)",
        wrong.join("\n\n"),
    );
}

#[test]
fn the_files_to_try_are_the_recorded_ones() {
    let recorded = root().join("crates/lokr-checkpoint/tests/data/fixtures");
    for (copy, original) in COPIES {
        let copied = fs::read(examples().join(copy)).unwrap();
        assert!(copied == fs::read(recorded.join(original)).unwrap(), "{copy} is not {original}");
    }
}

/// Where the front page tells the minimum Rust version, it is the manifest's.
#[test]
fn the_front_page_names_the_minimum_rust_version() {
    let version = env!("CARGO_PKG_RUST_VERSION");
    assert!(read(&root().join("README.md")).contains(&format!("Rust {version}")));
    assert!(read(&root().join("docs/badges/rust.svg")).contains(&format!("{version} or newer")));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").components().collect()
}

fn examples() -> PathBuf {
    root().join("examples/adapters")
}

/// The pages that may have transcripts: the book, and the README of every place that has one.
fn pages() -> Vec<PathBuf> {
    let listed = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let book = listed("docs").into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let readmes = listed("crates").into_iter().chain([root(), examples()]).map(|folder| folder.join("README.md"));
    book.chain(readmes.filter(|path| path.exists())).collect()
}

/// A page, with the line ends that it has in the repository.
fn read(page: &Path) -> String {
    fs::read_to_string(page).unwrap().replace("\r\n", "\n")
}

fn is_command(line: &str) -> bool {
    line.starts_with("$ lokr ")
}

/// Where the insides of the transcripts are, in a page.
fn blocks(page: &str) -> Vec<Range<usize>> {
    let (mut found, mut opened, mut place) = (Vec::new(), None, 0);
    for line in page.split_inclusive('\n') {
        let after = place + line.len();
        if line.starts_with("```") {
            match opened.take() {
                None => opened = Some(after),
                Some(start) if is_command(&page[start..place]) => found.push(start..place),
                Some(_) => {}
            }
        }
        place = after;
    }
    found
}

/// The block as it should be: each command, and what it prints now.
fn replay(block: &str, folder: &Path) -> String {
    let (mut transcript, mut exit_code) = (String::new(), None);
    for line in block.lines().filter(|line| line.starts_with("$ ")) {
        let words = words(&line[2..]);
        let printed = match words.as_slice() {
            [echo, code] if echo == "echo" && code == "$?" => format!("{}\n", exit_code.expect("a command before it")),
            [lokr, arguments @ ..] if lokr == "lokr" => {
                let (printed, code) = run(arguments, folder);
                exit_code = Some(code);
                printed
            }
            _ => panic!("{line:?} is neither a `lokr` command nor `echo $?`"),
        };
        if !transcript.is_empty() {
            transcript.push('\n');
        }
        transcript += &format!("{line}\n{printed}");
    }
    transcript
}

/// What the program prints, and its exit code.
fn run(arguments: &[String], folder: &Path) -> (String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_lokr")).args(arguments).current_dir(folder).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    let code = output.status.code().expect("no signal ended it");
    let failed = printed.lines().any(|line| line.starts_with("error: "));
    assert_eq!(code != 0, failed, "{arguments:?} ended with {code}:\n{printed}");
    (printed, code)
}

/// The words of a command line; a quoted part is one word, without its quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for letter in line.chars() {
        let word = words.last_mut().expect("one is there from the start");
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (_, Some(open)) if letter == open => quote = None,
            (' ', None) if word.is_empty() => {}
            (' ', None) => words.push(String::new()),
            _ => word.push(letter),
        }
    }
    words
}

/// Whether a transcript is what is printed, to the byte, but for what depends on the processor.
fn alike(expected: &str, printed: &str) -> bool {
    let same_everywhere = |text: &str| text.split('\n').map(without_what_varies).collect::<Vec<_>>();
    same_everywhere(expected) == same_everywhere(printed)
}

/// A line without the one number that rounding decides: how far the two sides of a merge's guard are apart.
fn without_what_varies(line: &str) -> String {
    let number = line.strip_prefix("guard: ").and_then(|_| line.split_once(" agree to "));
    let ends = number.and_then(|(before, after)| Some((before, after.split_once(' ')?)));
    match ends {
        Some((before, (number, after))) if number.parse().is_ok_and(|apart: f64| apart < 1e-6) => {
            format!("{before} agree to … {after}")
        }
        _ => line.to_owned(),
    }
}

fn copy_of_the_examples() -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, _) in COPIES {
        let target = folder.path().join(name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(examples().join(name), target).unwrap();
    }
    folder
}

#[test]
fn transcripts_are_found_and_taken_apart() {
    let page = "```text\n$ lokr a\nb\n\n$ lokr c\n```\n\n```rust\nlet x = 1;\n```\n\
                ```text\n$ ls\n```\n```\n$ lokr d 'e f'\n```\n";
    let found: Vec<&str> = blocks(page).into_iter().map(|block| &page[block]).collect();
    assert_eq!(found, ["$ lokr a\nb\n\n$ lokr c\n", "$ lokr d 'e f'\n"]);
    assert_eq!(words("lokr d 'e f'  \"g\""), ["lokr", "d", "e f", "g"]);
    assert!(alike("guard: x agree to 2.3e-8 on y\n", "guard: x agree to 3.1e-8 on y\n"));
    assert!(!alike("guard: x agree to 2.3e-8 on y\n", "guard: x agree to 3.1e-5 on y\n"));
    assert!(!alike("a\n", "a\n\n") && !alike("a\n", "b\n"));
}
