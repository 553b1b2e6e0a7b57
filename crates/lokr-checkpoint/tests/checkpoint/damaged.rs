//! Files damaged at random: whatever is wrong with them, jobs give an error or a result, never a panic, and leave
//! nothing behind after an error.

use std::ops::ControlFlow;
use std::path::Path;

use lokr_testing::Numbers;

use crate::support::Case;
use crate::support::build::{Folder, go_on, lora_of, tensor};
use lokr_checkpoint::{
    Adapter, BaseModel, CombineOptions, ConvertOptions, Dialect, ExtractOptions, FactorSize, ForeignTensors, LoraRank,
    MergeOptions, NonFinite, Overwrite, ReadOptions, ResizeOptions, Strength, Unmatched, VerifyOptions, ZeroAlpha,
    combine, extract, merge, resize, to_lora, verify,
};

/// Damages per file; more by hand: `LOKR_DAMAGES=10000`.
const DAMAGES: u64 = 15;

fn damages() -> u64 {
    std::env::var("LOKR_DAMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(DAMAGES)
}

/// Choices from a seed.
struct Random(Numbers);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        let share = (self.0.next::<f64>() + 1.0) / 2.0;
        (share * below as f64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.next(from.len())]
    }
}

/// What takes the place of a number or a word.
const WORDS: [&str; 25] = [
    "0",
    "1",
    "2",
    "3",
    "7",
    "-1",
    "1.5",
    "1e400",
    "64",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "null",
    "[]",
    "{}",
    "\"\"",
    "\"F64\"",
    "\"I8\"",
    "\"F4\"",
    "[0]",
    "[1, 1]",
    "true",
    "lokr_w2",
    "lokr_t2",
];

/// JSON with one number or word replaced, a piece left out or a piece repeated.
fn damage_text(text: &[u8], random: &mut Random) -> Vec<u8> {
    let start = random.next(text.len());
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let Some(start) = text[start..].iter().position(inside).map(|offset| start + offset) else {
        return text.to_vec();
    };
    let end = text[start..].iter().position(|byte| !inside(byte)).map_or(text.len(), |offset| start + offset);
    let (from, to, new) = match random.next(4) {
        0 | 1 => (start, end, random.pick(&WORDS).as_bytes().to_vec()),
        2 => (start, (end + random.next(40)).min(text.len()), Vec::new()),
        _ => (start, start, text[start..(end + random.next(60)).min(text.len())].to_vec()),
    };
    [&text[..from], &new, &text[to..]].concat()
}

/// A safetensors file with a damaged header whose length is right, or with damaged bytes.
fn damage_file(file: &[u8], random: &mut Random) -> Vec<u8> {
    let mut file = file.to_vec();
    let length = file.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes) as usize);
    let data = (8 + length).min(file.len());
    match random.next(6) {
        0 => file.truncate(random.next(file.len())),
        1 => {
            for _ in 0..1 + random.next(8) {
                let (place, value) = (random.next(file.len()), random.next(256));
                file[place] = value as u8;
            }
        }
        2 if data < file.len() => {
            // NaN, infinities, zeros and the smallest numbers of every type.
            let value = random.pick(&[&[0xff, 0xff][..], &[0x80, 0x7f], &[0, 0x7c], &[0, 0], &[1, 0]]);
            for _ in 0..4 {
                let place = data + random.next(file.len() - data);
                file[place..].iter_mut().zip(value).for_each(|(byte, &value)| *byte = value);
            }
        }
        _ => {
            let mut header = damage_text(&file[8.min(data)..data], random);
            if random.next(3) == 0 {
                header = damage_text(&header, random);
            }
            file = [&(header.len() as u64).to_le_bytes()[..], &header, &file[data..]].concat();
        }
    }
    file
}

/// Every job on an adapter, if it can be read at all.
fn run_all(adapter: &Path, base: &Path, out: &Path, permissive: bool) {
    let mut options = ReadOptions::default();
    if permissive {
        options.foreign = ForeignTensors::Skip;
        options.non_finite = NonFinite::Allow;
        options.zero_alpha = ZeroAlpha::Rank;
    }
    let adapter = Adapter::read(adapter, &options);
    let Ok(base) = BaseModel::open(base) else {
        return;
    };
    let empty = |after: &str| {
        let left: Vec<_> = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{after} left {left:?}");
    };
    let mut quiet = |_: lokr_checkpoint::Progress<'_>| ControlFlow::Continue(());
    let Ok(adapter) = adapter else {
        return;
    };
    for module in adapter.modules().values() {
        if let Ok(kron) = module.kron::<f64>() {
            let _ = (kron.frobenius_norm(), kron.spectral_norm(), module.scale());
        }
    }
    for module in adapter.others() {
        let _ = (module.frobenius_norm(), module.scale(), module.rank(), module.algorithm());
    }
    let adapters = [(&adapter, Strength::default())];
    let merged = out.join("merged.safetensors");
    let merge_options = MergeOptions { unmatched: Unmatched::Allow, ..MergeOptions::default() };
    match merge(&base, &adapters, &merged, &merge_options, &mut quiet) {
        Err(_) => empty("a failed merge"),
        Ok(_) => {
            let model = BaseModel::open(&merged).unwrap();
            let verify_options = VerifyOptions { unmatched: Unmatched::Allow, ..VerifyOptions::default() };
            verify(&base, &adapters, &model, &verify_options, &mut quiet).unwrap();
            let _ = extract(&base, &model, &ExtractOptions::default(), &mut go_on);
            drop(model);
            std::fs::remove_file(merged).unwrap();
        }
    }
    for base in [None, Some(&base)] {
        for dialect in [Dialect::Peft, Dialect::Lycoris, Dialect::Kohya, Dialect::Dotted, Dialect::Terms] {
            if let Ok(conversion) = adapter.convert(&ConvertOptions::to(dialect), base) {
                let path = out.join("converted.safetensors");
                match conversion.adapter.write(&path, Overwrite::Refuse) {
                    Err(_) => empty("a failed write"),
                    Ok(()) if path.is_dir() => std::fs::remove_dir_all(path).unwrap(),
                    Ok(()) => std::fs::remove_file(path).unwrap(),
                }
            }
        }
        let _ = to_lora(&adapter, base, &lora_of(LoraRank::Best(2)), &mut go_on);
        let _ = to_lora(&adapter, base, &lora_of(LoraRank::Exact), &mut go_on);
        let size = Some(FactorSize::Energy(0.5));
        let _ = resize(&adapter, base, &ResizeOptions { size, ..ResizeOptions::default() }, &mut go_on);
        let _ = combine(&[(&adapter, 0.5), (&adapter, 1.0)], base, &CombineOptions::default(), &mut go_on);
    }
}

#[test]
fn damaged_adapters_are_refused_or_used() {
    let (input, output) = (Folder::new(), Folder::new());
    for (number, case) in Case::all().into_iter().enumerate() {
        let peft = case.is_peft();
        let name = if peft { "adapter_model.safetensors" } else { "adapter.safetensors" };
        let file = std::fs::read(case.folder.join(name)).unwrap();
        let config = std::fs::read(case.folder.join("adapter_config.json")).unwrap_or_default();
        for seed in 0..damages() {
            let mut random = Random(Numbers::new(seed * 1000 + number as u64));
            random.next(1);
            let path = if peft {
                let damaged = if random.next(2) == 0 { damage_text(&config, &mut random) } else { config.clone() };
                input.write("adapter_config.json", damaged);
                input.write(name, if random.next(2) == 0 { damage_file(&file, &mut random) } else { file.clone() });
                input.root()
            } else {
                input.write(name, damage_file(&file, &mut random))
            };
            run_all(&path, &case.folder.join("base.safetensors"), &output.root(), random.next(2) == 0);
        }
        let _ = std::fs::remove_file(input.path("adapter_config.json"));
    }
}

#[test]
fn damaged_base_models_are_refused_or_used() {
    let (input, output) = (Folder::new(), Folder::new());
    let cases = ["kohya_unet", "peft_conv1d_full_w2", "lycoris_linear_dora_in", "lycoris_linear_bf16"];
    for (number, case) in cases.into_iter().map(Case::load).enumerate() {
        let file = std::fs::read(case.folder.join("base.safetensors")).unwrap();
        for seed in 0..2 * damages() {
            let mut random = Random(Numbers::new(!(seed * 1000 + number as u64)));
            random.next(1);
            let base = input.write("base.safetensors", damage_file(&file, &mut random));
            run_all(&case.adapter_path(), &base, &output.root(), true);
        }
    }
}

/// Every kind of module beside LoKr in one file, and the model for it.
fn files_of_all_kinds(folder: &Folder) -> (Vec<u8>, std::path::PathBuf) {
    let kinds = [
        ("a.lokr_w1", &[2, 5][..]),
        ("a.lokr_w2", &[3, 2]),
        ("a.diff_b", &[6]),
        ("b.lora_up.weight", &[6, 2]),
        ("b.lora_down.weight", &[2, 10]),
        ("b.alpha", &[]),
        ("b.dora_scale", &[6, 1]),
        ("c.lora_up.weight", &[6, 2, 1, 1]),
        ("c.lora_mid.weight", &[2, 3, 3, 3]),
        ("c.lora_down.weight", &[3, 4, 1, 1]),
        ("d.hada_w1_a", &[6, 2]),
        ("d.hada_w1_b", &[2, 10]),
        ("d.hada_w2_a", &[6, 2]),
        ("d.hada_w2_b", &[2, 10]),
        ("e.hada_w1_a", &[2, 6]),
        ("e.hada_w1_b", &[2, 4]),
        ("e.hada_w2_a", &[2, 6]),
        ("e.hada_w2_b", &[2, 4]),
        ("e.hada_t1", &[2, 2, 3, 3]),
        ("e.hada_t2", &[2, 2, 3, 3]),
        ("f.diff", &[6, 10]),
        ("g.w_norm", &[7]),
        ("g.b_norm", &[7]),
        ("h.lora_A.weight", &[2, 10]),
        ("h.lora_B.weight", &[6, 2]),
        ("h.lora_B.bias", &[6]),
        ("h.lora_magnitude_vector", &[6]),
    ];
    let keys: Vec<_> = kinds.iter().map(|(key, _)| format!("lora_unet_{key}")).collect();
    let tensors: Vec<_> = keys.iter().zip(kinds).map(|(key, (_, shape))| (&**key, tensor(shape))).collect();
    let matrix = |name: &'static str| (name, tensor(&[6, 10]));
    let convolution = |name: &'static str| (name, tensor(&[6, 4, 3, 3]));
    let base = [
        ("a.bias", tensor(&[6])),
        matrix("a.weight"),
        matrix("b.weight"),
        convolution("c.weight"),
        matrix("d.weight"),
        convolution("e.weight"),
        matrix("f.weight"),
        ("g.bias", tensor(&[7])),
        ("g.weight", tensor(&[7])),
        ("h.bias", tensor(&[6])),
        matrix("h.weight"),
    ];
    let adapter = folder.tensors("adapter.safetensors", &tensors);
    (std::fs::read(adapter).unwrap(), folder.tensors("base.safetensors", &base))
}

#[test]
fn damaged_modules_of_other_algorithms_are_refused_or_used() {
    let (input, output) = (Folder::new(), Folder::new());
    let (file, base) = files_of_all_kinds(&input);
    let adapter = Adapter::read(input.path("adapter.safetensors"), &ReadOptions::default()).unwrap();
    assert_eq!((adapter.modules().len(), adapter.others().len()), (1, 10));
    run_all(&input.path("adapter.safetensors"), &base, &output.root(), false);
    for seed in 0..20 * damages() {
        let mut random = Random(Numbers::new(seed * 7919 + 5));
        random.next(1);
        let path = input.write("adapter.safetensors", damage_file(&file, &mut random));
        run_all(&path, &base, &output.root(), random.next(2) == 0);
    }
}
