//! Jobs in parts: joined, they are byte for byte those of one process; parts of other jobs are refused by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::pipeline;
use crate::quantized_models;
use crate::support::build::{Folder, cause, go_on, random, stop};
use lokr_checkpoint::{
    Adapter, BaseModel, CheckpointError as E, Dialect, ExtractOptions, FactorSize, FloatType, JobError, MergeOptions,
    OutputError, Overwrite, Part, PartError, PartOutput, ReadOptions, Strength, Tensor, extract, extract_part, join,
    merge, merge_part, write_tensors,
};
use ndarray::{ArrayD, IxDyn};

/// Every file below a directory, or the file itself.
fn bytes(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    if path.is_file() {
        return BTreeMap::from([(PathBuf::new(), std::fs::read(path).unwrap())]);
    }
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let name = PathBuf::from(path.file_name().unwrap());
        // Joined with nothing, a name would end in a slash, as that of a directory.
        let below = |below: PathBuf| if below.as_os_str().is_empty() { name.clone() } else { name.join(below) };
        files.extend(bytes(&path).into_iter().map(|(path, bytes)| (below(path), bytes)));
    }
    files
}

fn parts(of: usize) -> impl Iterator<Item = Part> {
    (1..=of).map(move |number| Part::new(number, of).unwrap())
}

fn same_merge(folder: &Folder, base: &BaseModel, adapter: &Adapter) {
    let (adapters, options) = ([(adapter, Strength::default())], MergeOptions::default());
    let alone = folder.path("alone");
    let whole = merge(base, &adapters, &alone, &options, &mut go_on).unwrap();
    for of in [1, 2, 3, 7] {
        let out = folder.path("joined");
        let reports: Vec<_> =
            parts(of).map(|part| merge_part(base, &adapters, &out, part, &options, &mut go_on).unwrap()).collect();
        assert!(!out.exists());
        let mut weights: Vec<_> = reports.iter().flat_map(|report| report.weights.clone()).collect();
        let mut expected = whole.weights.clone();
        weights.sort_by(|first, second| first.weight.cmp(&second.weight));
        expected.sort_by(|first, second| first.weight.cmp(&second.weight));
        assert_eq!(weights, expected);
        assert_eq!(reports.iter().map(|report| report.unchanged).sum::<usize>(), whole.unchanged);
        let joined = join(&out, Overwrite::Refuse).unwrap();
        assert_eq!((joined.parts, joined.files.len()), (of, bytes(&alone).len()));
        assert!(bytes(&out) == bytes(&alone), "{of} parts");
        assert!(parts(of).all(|part| !part.path(&out).exists()));
        std::fs::remove_dir_all(out).unwrap();
    }
}

#[test]
fn a_joined_merge_is_that_of_one_process() {
    // The scales of a weight in another shard than the weight, and an index and a configuration beside them.
    let folder = Folder::new();
    same_merge(&folder, &quantized_models::shards(&folder), &quantized_models::adapter().0);
    // A pipeline, with components that are copied as they are.
    let folder = Folder::new();
    let base = BaseModel::open(pipeline::pipeline(&folder, "base", false)).unwrap();
    same_merge(&folder, &base, &pipeline::adapter(&folder, &ReadOptions::default()));
}

/// Two models of linear layers, a convolution and more, in which some weights differ.
fn models(folder: &Folder) -> (BaseModel, BaseModel) {
    let shapes: [(&str, &[usize]); 7] = [
        ("blocks.0.q.weight", &[12, 10]),
        ("blocks.0.k.weight", &[15, 8]),
        ("blocks.1.q.weight", &[12, 10]),
        ("blocks.1.conv.weight", &[6, 4, 3, 3]),
        ("blocks.1.norm.weight", &[5]),
        ("same.weight", &[4, 4]),
        ("z.weight", &[7, 7]),
    ];
    let write = |name: &str, tuned: bool| {
        let tensors = shapes.iter().enumerate().map(|(i, (key, shape))| {
            let seed = i as u64 + if tuned && *key != "same.weight" { 100 } else { 0 };
            let values: ArrayD<f64> = random(shape, seed);
            ((*key).to_owned(), Tensor::from_array(&values, FloatType::F32))
        });
        let path = folder.path(name);
        write_tensors(&path, &tensors.collect(), &BTreeMap::new(), Overwrite::Replace).unwrap();
        BaseModel::open(path).unwrap()
    };
    (write("base.safetensors", false), write("tuned.safetensors", true))
}

#[test]
fn a_joined_extraction_is_that_of_one_process() {
    let folder = Folder::new();
    let (base, tuned) = models(&folder);
    let low_rank = ExtractOptions { size: FactorSize::Rank(2), factor: Some(2), ..ExtractOptions::default() };
    let sums = ExtractOptions { terms: 2, dtype: Some(FloatType::Bf16), ..ExtractOptions::default() };
    let cases = [
        (Dialect::Peft, low_rank.clone()),
        (Dialect::Lycoris, low_rank),
        (Dialect::Dotted, ExtractOptions::default()),
        (Dialect::Kohya, ExtractOptions { exclude: vec!["conv".to_owned()], ..ExtractOptions::default() }),
        (Dialect::Terms, sums),
    ];
    for (dialect, options) in cases {
        let (alone, out) = (folder.path(&format!("alone {dialect}")), folder.path("joined"));
        let extraction = extract(&base, &tuned, &options, &mut go_on).unwrap();
        let report = extraction.report.clone();
        extraction.into_adapter(dialect).unwrap().write(&alone, Overwrite::Refuse).unwrap();
        for of in [1, 2, 5, 9] {
            for part in parts(of) {
                let output = PartOutput { out: &out, part, dialect, overwrite: Overwrite::Refuse };
                extract_part(&base, &tuned, &output, &options, &mut go_on).unwrap();
            }
            let joined = join(&out, Overwrite::Replace).unwrap();
            assert_eq!(joined.extracted, Some((report.clone(), dialect)), "{of} parts");
            assert!(bytes(&out) == bytes(&alone), "{dialect}, {of} parts");
        }
        if out.is_dir() { std::fs::remove_dir_all(&out) } else { std::fs::remove_file(&out) }.unwrap();
    }
}

#[test]
fn an_extraction_of_nothing_is_an_error_when_it_is_joined() {
    let folder = Folder::new();
    let (base, _) = models(&folder);
    let out = folder.path("joined");
    for part in parts(2) {
        let output = PartOutput { out: &out, part, dialect: Dialect::Dotted, overwrite: Overwrite::Refuse };
        extract_part(&base, &base, &output, &ExtractOptions::default(), &mut go_on).unwrap();
    }
    cause(join(&out, Overwrite::Refuse), |e| matches!(e, E::Job(JobError::NothingChanged { compared: 0, .. })));
}

/// A merge of two shards in parts.
struct InParts {
    folder: Folder,
    base: BaseModel,
    adapter: Adapter,
}

impl InParts {
    fn new() -> Self {
        let folder = Folder::new();
        let base = quantized_models::shards(&folder);
        Self { base, adapter: quantized_models::adapter().0, folder }
    }

    fn out(&self) -> PathBuf {
        self.folder.path("joined")
    }

    fn part(&self, part: &str, strength: Strength, options: &MergeOptions<'_>) -> Result<(), E> {
        let adapters = [(&self.adapter, strength)];
        merge_part(&self.base, &adapters, self.out(), part.parse()?, options, &mut go_on).map(|_| ())
    }

    fn all(&self) {
        for part in parts(2) {
            self.part(&part.to_string(), Strength::default(), &MergeOptions::default()).unwrap();
        }
    }

    #[track_caller]
    fn refused(&self, right: impl Fn(&PartError) -> bool) {
        cause(join(self.out(), Overwrite::Refuse), |e| matches!(e, E::Part(error) if right(error)));
        assert!(!self.out().exists());
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused_by_name() {
    let job = InParts::new();
    let plain = (Strength::default(), MergeOptions::default());
    job.refused(|e| matches!(e, PartError::None));
    job.part("2/3", plain.0, &plain.1).unwrap();
    job.refused(|e| matches!(e, PartError::Missing { numbers, of: 3 } if *numbers == [1, 3]));
    job.part("1/2", plain.0, &plain.1).unwrap();
    job.refused(|e| matches!(e, PartError::Counts { first: 2, second: 3 }));

    let job = InParts::new();
    job.all();
    let replace = MergeOptions { overwrite: Overwrite::Replace, ..plain.1 };
    job.part("2/2", Strength { multiplier: 0.5, ..plain.0 }, &replace).unwrap();
    job.refused(|e| matches!(e, PartError::OtherJob { what } if what == "an adapter"));
    let mut other = replace;
    other.quantized.min_kept = 0.0;
    job.part("2/2", plain.0, &other).unwrap();
    job.refused(|e| matches!(e, PartError::OtherJob { what } if what == "an option"));
    job.part("2/2", plain.0, &replace).unwrap();
    join(job.out(), Overwrite::Refuse).unwrap();
}

#[test]
fn parts_that_have_changed_are_refused() {
    let job = InParts::new();
    job.all();
    let part = |number| Part::new(number, 2).unwrap().path(job.out());
    let shard = |part: &Path| {
        let mut names = bytes(part).into_keys().filter(|name| name.extension().is_some_and(|e| e == "safetensors"));
        part.join(names.next_back().unwrap())
    };
    let file = shard(&part(2));
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    job.refused(|e| matches!(e, PartError::File { expected, found: Some(found), .. } if *found + 1 == *expected));
    std::fs::remove_file(&file).unwrap();
    job.refused(|e| matches!(e, PartError::File { found: None, .. }));
    std::fs::remove_dir_all(part(2)).unwrap();
    job.refused(|e| matches!(e, PartError::Missing { numbers, of: 2 } if *numbers == [2]));
    std::fs::rename(part(1), part(2)).unwrap();
    job.part("1/2", Strength::default(), &MergeOptions::default()).unwrap();
    job.refused(|e| matches!(e, PartError::Renamed { number: 1, of: 2 }));
}

#[test]
fn a_part_is_whole_or_not_there() {
    let job = InParts::new();
    let adapters = [(&job.adapter, Strength::default())];
    let (part, options) = (Part::new(1, 2).unwrap(), MergeOptions::default());
    let mut calls = 0;
    let stopped = merge_part(&job.base, &adapters, job.out(), part, &options, &mut |event| {
        calls += 1;
        if calls > 1 { std::ops::ControlFlow::Break(()) } else { stop(event) }
    });
    cause(stopped, |e| matches!(e, E::Job(JobError::Interrupted)));
    assert_eq!(std::fs::read_dir(job.folder.root()).unwrap().count(), 1, "the model alone");
    job.all();
    cause(job.part("1/2", Strength::default(), &options), |e| matches!(e, E::Output(OutputError::Exists)));
}

#[test]
fn what_cannot_be_done_in_parts_is_refused() {
    let folder = Folder::new();
    let (base, _) = models(&folder);
    let adapter = quantized_models::adapter().0;
    let merged = merge_part(
        &base,
        &[(&adapter, Strength::default())],
        folder.path("out"),
        Part::new(1, 2).unwrap(),
        &MergeOptions::default(),
        &mut go_on,
    );
    cause(merged, |e| matches!(e, E::Job(JobError::Option { option: "shard", .. })));
    for wrong in ["0/2", "3/2", "1/0", "1", "a/b", "", "-1/2"] {
        cause(wrong.parse::<Part>(), |e| matches!(e, E::Job(JobError::Option { option: "shard", .. })));
    }
}

#[test]
fn everything_is_the_turn_of_one_part() {
    // Twenty shards of different sizes over six parts, as the sizes of files decide.
    let folder = Folder::new();
    std::fs::create_dir(folder.path("model")).unwrap();
    let mut map = BTreeMap::new();
    for i in 0..20 {
        let file = format!("model-{i:02}.safetensors");
        let values = ArrayD::<f64>::zeros(IxDyn(&[i * 7 % 11, 4]));
        let name = format!("n{i}");
        folder.tensors(&format!("model/{file}"), &[(&name, Tensor::from_array(&values, FloatType::F32))]);
        map.insert(name, file);
    }
    folder.write("model/model.safetensors.index.json", serde_json::json!({ "weight_map": map }).to_string());
    let base = BaseModel::open(folder.path("model")).unwrap();
    for part in parts(6) {
        merge_part(&base, &[], folder.path("joined"), part, &MergeOptions::default(), &mut go_on).unwrap();
    }
    let shards = |part: Part| {
        let files = bytes(&part.path(folder.path("joined")));
        files.keys().filter(|name| name.extension().is_some_and(|e| e == "safetensors")).count()
    };
    let counts: Vec<_> = parts(6).map(shards).collect();
    assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 20);
    assert_eq!(join(folder.path("joined"), Overwrite::Refuse).unwrap().files.len(), 21);
}
