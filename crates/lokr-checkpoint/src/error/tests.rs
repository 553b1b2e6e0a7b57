use super::*;

#[test]
fn long_lists_are_cut() {
    let modules: Vec<_> = (0..10).map(|i| format!("m{i}")).collect();
    let error = NameError::UnmatchedModules { modules, matched: Vec::new(), total: 20 };
    let text = "10 of 20 modules are not in the base model: m0, m1, m2, m3, m4, m5, m6, m7 and 2 more";
    assert_eq!(error.to_string(), text);
}

#[test]
fn an_error_names_its_file_once() {
    let error = NameError::NotLokr.in_file(Path::new("inner")).in_file(Path::new("outer"));
    assert_eq!(error.path(), Some(Path::new("inner")));
    assert!(matches!(error.cause(), CheckpointError::Name(NameError::NotLokr)));
    assert_eq!(error.to_string(), "inner: no lokr tensors in this file");
}
