//! Writing: what is written is what is read, and a failure changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use lokr_checkpoint::file::{OutputForm, check_output, check_output_form};
use lokr_checkpoint::{
    CheckpointError, Dtype, FileError, FloatType, OutputDirectory, OutputError, Overwrite, Tensor, TensorFile,
    TensorSpec, TensorWriter, write_tensors,
};
use ndarray::{Array2, arr0, array};

fn tensors() -> BTreeMap<String, Tensor> {
    let mut tensors = BTreeMap::new();
    let matrix = Array2::from_shape_fn((3, 5), |(i, j)| i as f64 * 5.0 + j as f64);
    for (name, dtype) in [
        ("h", FloatType::F16),
        ("b", FloatType::Bf16),
        ("f", FloatType::F32),
        ("d", FloatType::F64),
        ("a", FloatType::Bf16),
    ] {
        tensors.insert(name.to_owned(), Tensor::from_array(&matrix, dtype));
    }
    tensors.insert("scalar".to_owned(), Tensor::from_array(&arr0(2.5f32), FloatType::F32));
    tensors.insert("empty".to_owned(), Tensor::new("empty", Dtype::F32, vec![0, 3], vec![]).unwrap());
    tensors.insert("odd".to_owned(), Tensor::new("odd", Dtype::U8, vec![3], vec![7, 8, 9]).unwrap());
    tensors.insert("ünïcödé \"name\"".to_owned(), Tensor::new("i", Dtype::I64, vec![1], vec![1; 8]).unwrap());
    tensors
}

fn metadata() -> BTreeMap<String, String> {
    BTreeMap::from([("z".to_owned(), "last".to_owned()), ("format".to_owned(), "pt\n\"".to_owned())])
}

fn spec(name: &str, length: usize) -> TensorSpec {
    TensorSpec { name: name.to_owned(), dtype: Dtype::U8, shape: vec![length] }
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn both_readers_read_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    write_tensors(&path, &tensors(), &metadata(), Overwrite::Refuse).unwrap();
    let ours = TensorFile::open(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(ours.metadata(), &metadata());
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().clone().unwrap().into_iter().collect::<BTreeMap<_, _>>(), metadata());
    assert_eq!(theirs.len(), tensors().len());
    for (name, tensor) in tensors() {
        let (our, their) = (ours.tensor(&name).unwrap(), theirs.tensor(&name).unwrap());
        assert_eq!((our.dtype(), our.shape(), our.bytes()), (tensor.dtype(), tensor.shape(), tensor.bytes()), "{name}");
        assert_eq!((their.dtype(), their.shape(), their.data()), (tensor.dtype(), tensor.shape(), tensor.bytes()));
    }
}

/// Without metadata, whose order in the crate is that of a hash map, the bytes are even the crate's own.
#[test]
fn bytes_are_those_of_the_safetensors_crate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let tensors = tensors();
    write_tensors(&path, &tensors, &BTreeMap::new(), Overwrite::Refuse).unwrap();
    let views = tensors.iter().map(|(name, tensor)| {
        (name, safetensors::tensor::TensorView::new(tensor.dtype(), tensor.shape().to_vec(), tensor.bytes()).unwrap())
    });
    let theirs = safetensors::serialize(views, None).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), theirs);
}

#[test]
fn no_tensors_at_all_are_a_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    write_tensors(&path, &BTreeMap::new(), &BTreeMap::new(), Overwrite::Refuse).unwrap();
    assert_eq!(TensorFile::open(&path).unwrap().names().len(), 0);
    assert_eq!(safetensors::SafeTensors::deserialize(&std::fs::read(&path).unwrap()).unwrap().len(), 0);
}

#[test]
fn an_existing_file_is_replaced_only_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    std::fs::write(&path, "old").unwrap();
    let error = write_tensors(&path, &tensors(), &metadata(), Overwrite::Refuse).unwrap_err();
    assert!(matches!(error.cause(), CheckpointError::Output(OutputError::Exists)), "{error}");
    assert_eq!(error.path(), Some(&*path));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    write_tensors(&path, &tensors(), &metadata(), Overwrite::Replace).unwrap();
    assert_eq!(TensorFile::open(&path).unwrap().metadata(), &metadata());
    assert_eq!(entries(folder.path()), ["x.safetensors"]);
}

#[test]
fn a_file_that_appears_meanwhile_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let writer = TensorWriter::create(&path, vec![], &metadata(), Overwrite::Refuse).unwrap();
    std::fs::write(&path, "other").unwrap();
    let error = writer.finish().unwrap_err();
    assert!(matches!(error.cause(), CheckpointError::Output(OutputError::Exists)), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"other");
    assert_eq!(entries(folder.path()), ["x.safetensors"]);
}

#[test]
fn an_unfinished_file_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    std::fs::write(&path, "old").unwrap();
    let mut writer = TensorWriter::create(&path, vec![spec("a", 3)], &metadata(), Overwrite::Replace).unwrap();
    writer.write("a", &[1, 2]).unwrap();
    assert_eq!(entries(folder.path()).len(), 2);
    drop(writer);
    assert_eq!(entries(folder.path()), ["x.safetensors"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}

#[test]
fn tensors_are_written_in_their_order_and_completely() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let create = || {
        let specs = vec![spec("b", 2), spec("none", 0), spec("a", 3)];
        TensorWriter::create(&path, specs, &BTreeMap::new(), Overwrite::Refuse).unwrap()
    };
    let order = |error: CheckpointError| match error.cause() {
        CheckpointError::File(FileError::WriteOrder { key, expected }) => (key.clone(), expected.clone()),
        _ => panic!("{error}"),
    };
    let mut writer = create();
    let error = order(writer.write("b", &[1]).unwrap_err());
    assert_eq!(error, ("b".to_owned(), Some("a".to_owned())));
    writer.write("a", &[1]).unwrap();
    let error = order(writer.write("b", &[1]).unwrap_err());
    assert_eq!(error, ("b".to_owned(), Some("a".to_owned())));
    let error = writer.write("a", &[2, 3, 4]).unwrap_err();
    assert!(
        matches!(error.cause(), CheckpointError::File(FileError::TensorSize { expected: 3, found: 4, .. })),
        "{error}"
    );
    writer.write("a", &[2, 3]).unwrap();
    let error = order(writer.finish().unwrap_err());
    assert_eq!(error.1, Some("b".to_owned()));
    assert!(!path.exists());

    let mut writer = create();
    writer.write("a", &[1, 2, 3]).unwrap();
    writer.write("b", &[4, 5]).unwrap();
    let error = order(writer.write("c", &[1]).unwrap_err());
    assert_eq!(error, ("c".to_owned(), None));
    writer.finish().unwrap();
    assert_eq!(TensorFile::open(&path).unwrap().tensor("b").unwrap().bytes(), [4, 5]);
}

#[test]
fn what_no_file_can_hold_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let create = |specs| TensorWriter::create(&path, specs, &BTreeMap::new(), Overwrite::Refuse).unwrap_err();
    let error = create(vec![spec("a", 1), spec("a", 2)]);
    assert!(matches!(error.cause(), CheckpointError::File(FileError::DuplicateKey { key }) if key == "a"), "{error}");
    let error = create(vec![spec("__metadata__", 1)]);
    assert!(
        matches!(error.cause(), CheckpointError::File(FileError::DuplicateKey { key }) if key == "__metadata__"),
        "{error}"
    );
    let error = create(vec![TensorSpec { name: "a".to_owned(), dtype: Dtype::F32, shape: vec![usize::MAX] }]);
    assert!(
        matches!(error.cause(), CheckpointError::File(FileError::ShapeOverflow { key, .. }) if key == "a"),
        "{error}"
    );
    let error = create((0..9).map(|i| spec(&format!("a{i}"), usize::MAX / 8)).collect());
    assert!(
        matches!(error.cause(), CheckpointError::File(FileError::ShapeOverflow { key, .. }) if key == "a8"),
        "{error}"
    );
    let error = create(vec![spec(&"a".repeat(100_000_001), 1)]);
    assert!(
        matches!(error.cause(), CheckpointError::File(FileError::HeaderLength { limit: 100_000_000, .. })),
        "{}",
        error.to_string().len()
    );
    assert!(entries(folder.path()).is_empty());
}

#[test]
fn folders_in_the_way_or_missing_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let error = write_tensors(folder.path(), &tensors(), &metadata(), Overwrite::Replace).unwrap_err();
    assert!(
        matches!(error.cause(), CheckpointError::Output(OutputError::InTheWay { expected: "a file", .. })),
        "{error}"
    );
    let path = folder.path().join("missing/x.safetensors");
    let error = write_tensors(&path, &tensors(), &metadata(), Overwrite::Replace).unwrap_err();
    assert!(matches!(error.cause(), CheckpointError::Io(_)), "{error}");
    assert_eq!(error.path(), Some(&*path));
}

/// A socket stands for whatever is no file: as root, replacing a device would take it from the whole system.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let error = write_tensors(&path, &tensors(), &metadata(), Overwrite::Replace).unwrap_err();
    assert!(
        matches!(error.cause(), CheckpointError::Output(OutputError::InTheWay { found: "a pipe or device", .. })),
        "{error}"
    );
    assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());
    assert_eq!(entries(folder.path()), ["socket"]);
}

#[cfg(unix)]
#[test]
fn files_have_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    std::fs::write(folder.path().join("plain"), "").unwrap();
    std::fs::create_dir(folder.path().join("plain_dir")).unwrap();
    write_tensors(folder.path().join("ours"), &tensors(), &metadata(), Overwrite::Refuse).unwrap();
    OutputDirectory::create(folder.path().join("our_dir"), Overwrite::Refuse).unwrap().finish().unwrap();
    assert_eq!(mode("ours"), mode("plain"));
    assert_eq!(mode("our_dir"), mode("plain_dir"));
}

#[test]
fn a_directory_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model");
    let output = OutputDirectory::create(&target, Overwrite::Refuse).unwrap();
    std::fs::write(output.path().join("config.json"), "{}").unwrap();
    drop(output);
    assert!(entries(folder.path()).is_empty());

    let write = |overwrite, names: &[&str], text: &str| {
        let output = OutputDirectory::create(&target, overwrite)?;
        for name in names {
            std::fs::write(output.path().join(name), text).unwrap();
        }
        output.finish()
    };
    write(Overwrite::Refuse, &["config.json", "a"], "1").unwrap();
    let error = write(Overwrite::Refuse, &["config.json"], "2").unwrap_err();
    assert!(matches!(error.cause(), CheckpointError::Output(OutputError::Exists)), "{error}");
    let error = write(Overwrite::Replace, &["config.json"], "2").unwrap_err();
    assert!(
        matches!(error.cause(), CheckpointError::Output(OutputError::Others { names }) if *names == ["a"]),
        "{error}"
    );
    assert_eq!(std::fs::read(target.join("config.json")).unwrap(), b"1");
    write(Overwrite::Replace, &["config.json", "a", "b"], "3").unwrap();
    assert_eq!(entries(&target), ["a", "b", "config.json"]);
    assert_eq!(std::fs::read(target.join("config.json")).unwrap(), b"3");
    assert_eq!(entries(folder.path()), ["model"]);
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = OutputDirectory::create(folder.path().join("file"), Overwrite::Replace).unwrap_err();
    assert!(
        matches!(error.cause(), CheckpointError::Output(OutputError::InTheWay { expected: "a directory", .. })),
        "{error}"
    );
}

#[test]
fn arrays_go_there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let x = array![[1.0f32, -2.0], [0.5, 3.0], [4.0, 8.0]];
    let tensors = BTreeMap::from([("x".to_owned(), Tensor::from_array(&x, FloatType::Bf16))]);
    write_tensors(&path, &tensors, &BTreeMap::new(), Overwrite::Refuse).unwrap();
    assert_eq!(TensorFile::open(&path).unwrap().tensor("x").unwrap().to_array::<f32>("x").unwrap(), x.into_dyn());
}

/// What the program asks before it begins: the name, what is there, and whether there is a place at all.
#[test]
fn an_output_is_checked_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("file"), "old").unwrap();
    for name in ["new", "new.safetensors", "folder.with.dots"] {
        check_output(path(name), Overwrite::Refuse).unwrap();
    }
    let refused = |name: &str, overwrite| {
        let error = check_output(path(name), overwrite).unwrap_err();
        assert_eq!(error.path(), Some(&*path(name)));
        error
    };
    for name in ["a.bin", "a.PT", "a.pth", "a.ckpt", "a.pkl"] {
        let error = refused(name, Overwrite::Replace);
        let right = matches!(error.cause(), CheckpointError::Output(OutputError::Name { expected: ".safetensors" }));
        assert!(right, "{error}");
    }
    let error = refused("file", Overwrite::Refuse);
    assert!(matches!(error.cause(), CheckpointError::Output(OutputError::Exists)), "{error}");
    check_output(path("file"), Overwrite::Replace).unwrap();
    let error = refused("nowhere/new", Overwrite::Refuse);
    assert!(matches!(error.cause(), CheckpointError::Io(_)), "{error}");
}

#[test]
fn a_directory_is_not_written_over_a_file_nor_a_file_over_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "old").unwrap();
    check_output_form(&file, OutputForm::File).unwrap();
    check_output_form(folder.path(), OutputForm::Directory).unwrap();
    check_output_form(folder.path().join("new"), OutputForm::Directory).unwrap();
    let wrong = [
        (&*file, OutputForm::Directory, "a file is in the way of a directory"),
        (folder.path(), OutputForm::File, "a directory is in the way of a file"),
    ];
    for (path, form, text) in wrong {
        let error = check_output_form(path, form).unwrap_err();
        assert_eq!(error.cause().to_string(), text);
        assert_eq!(error.path(), Some(path));
    }
}

#[cfg(unix)]
#[test]
fn devices_and_links_to_nowhere_are_there() {
    let device = check_output("/dev/null", Overwrite::Replace).unwrap_err();
    assert_eq!(device.to_string(), "/dev/null: a pipe or device is in the way of the output");
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    let error = check_output(&link, Overwrite::Refuse).unwrap_err();
    assert!(matches!(error.cause(), CheckpointError::Output(OutputError::Exists)), "{error}");
    check_output(&link, Overwrite::Replace).unwrap();
}
