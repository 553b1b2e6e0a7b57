//! What stands in a model, and what is refused.

use lokr_core::Scalar;
use lokr_layers::{
    Activation, Dense, FullyConnected, GradientAt, Layer, LayerError, LoKrAdapter, LoKrInit, LoKrSettings, Result,
    Sequential, Visitor, VisitorMut,
};
use lokr_onnx::{Adapters, ExportError, ExportOptions, OnnxModel, supports_export};
use lokr_testing::matrix;
use ndarray::{Array1, Array2, ArrayRef2};

fn large() -> Sequential<f32> {
    let layer = FullyConnected::from_arrays(matrix(96, 64, 1), Array1::zeros(96), Activation::Relu).unwrap();
    let mut network = Sequential::empty();
    network.push_named("q", LoKrSettings::new().rank(2).init(LoKrInit::Random).adapt(layer).unwrap()).unwrap();
    network
}

#[test]
fn an_adapter_that_stays_apart_is_small_and_keeps_its_names() {
    let (network, options) = (large(), ExportOptions::default());
    let model = OnnxModel::new(&network, &options).unwrap();
    // A (8, 8) and the halves (12, 2)·(2, 8) of B (12, 8).
    let names: Vec<&str> = model.initializers().collect();
    for name in ["q.weight", "q.bias", "q.lokr_w1", "q.lokr_w2_a", "q.lokr_w2_b", "q.lokr_scaling"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    // A first: 8·64 + 8·40 multiplications a row, against 8·40 + 12·64.
    let expected =
        ["Gemm", "Reshape", "Mul", "MatMul", "Transpose", "MatMul", "Transpose", "MatMul", "Reshape", "Add", "Relu"];
    assert_eq!(model.operators().collect::<Vec<_>>(), expected);
    let (bytes, values) = (model.to_bytes().len(), 96 * 64 + 96 + network.parameter_count());
    assert!(bytes < 4 * values + 2000, "{bytes} bytes for {values} values");

    let merged = OnnxModel::new(&network, &ExportOptions { adapters: Adapters::Merged }).unwrap();
    assert_eq!(merged.operators().collect::<Vec<_>>(), ["Gemm", "Relu"]);
    assert_eq!(model.to_bytes(), OnnxModel::new(&network, &options).unwrap().to_bytes());
}

#[test]
fn names_that_clash_are_told_apart() {
    let mut network = Sequential::<f32>::empty();
    let layer = |activation| Dense::from_arrays(Array2::eye(2), Array1::zeros(2), activation).unwrap();
    network.push_named("output", layer(Activation::Tanh)).unwrap();
    network.push_named("output.weight", layer(Activation::Identity)).unwrap();
    network.push_named("input", layer(Activation::Identity)).unwrap();
    let model = OnnxModel::new(&network, &ExportOptions::default()).unwrap();
    let names: std::collections::BTreeSet<&str> = model.initializers().collect();
    assert_eq!(names.len(), model.initializers().count());
    assert!(names.contains("output.weight") && names.contains("output.weight.weight"), "{names:?}");
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let model = OnnxModel::new(&large(), &ExportOptions::default()).unwrap();
    let file = folder.path().join("network.onnx");
    model.save(&file).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), model.to_bytes());
    model.save(&file).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| folder.path().join(name).metadata().unwrap().permissions().mode();
        std::fs::write(folder.path().join("other"), []).unwrap();
        assert_eq!(mode("network.onnx"), mode("other"), "that of any new file");
    }
    let error = model.save(folder.path().join("none/network.onnx")).unwrap_err();
    assert!(matches!(error, ExportError::Write { ref path, .. } if path.ends_with("network.onnx")), "{error}");
}

/// A layer of a user's own, which says nothing of itself.
#[derive(Clone)]
struct Doubled;

impl<T: Scalar> Layer<T> for Doubled {
    fn input_size(&self) -> usize {
        4
    }
    fn output_size(&self) -> usize {
        4
    }
    fn type_name(&self) -> &'static str {
        "Doubled"
    }
    fn predict_into(&self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        y.assign(x);
        Ok(())
    }
    fn forward_into(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>) -> Result<()> {
        self.predict_into(x, y)
    }
    fn backward_into(&mut self, dy: &ArrayRef2<T>, _at: GradientAt, dx: &mut ArrayRef2<T>) -> Result<()> {
        dx.assign(dy);
        Ok(())
    }
    fn visit(&self, _visitor: Visitor<'_, T>) {}
    fn visit_mut(&mut self, _visitor: VisitorMut<'_, T>) {}
    fn clear_gradients(&mut self) {}
    fn reset_state(&mut self) {}
    fn set_training_mode(&mut self, _training: bool) {}
    fn clone_box(&self) -> Box<dyn Layer<T>> {
        Box::new(self.clone())
    }
}

#[test]
fn what_has_no_counterpart_is_named_and_known_without_trying() {
    let mut inside = Sequential::<f32>::empty();
    inside.push_named("own", LoKrAdapter::new(Doubled, 1, None, true).unwrap()).unwrap();
    let mut network = Sequential::<f32>::empty();
    network.push_named("block", inside).unwrap();
    for result in [supports_export(&network), OnnxModel::new(&network, &ExportOptions::default()).map(drop)] {
        let error = result.unwrap_err();
        let message = error.to_string();
        assert!(
            matches!(&error, ExportError::Unsupported { name, layer: "Doubled", .. } if name == "block.own.base"),
            "{message}"
        );
        assert!(message.starts_with("\"block.own.base\" (Doubled) cannot be exported"), "{message}");
    }
    let base = Dense::from_arrays(matrix::<f32>(4, 4, 1), Array1::zeros(4), Activation::Tanh).unwrap();
    let after = LoKrSettings::new().placement(lokr_layers::DeltaPlacement::AfterActivation).adapt(base).unwrap();
    let error = OnnxModel::new(&after, &ExportOptions { adapters: Adapters::Merged }).unwrap_err();
    assert!(matches!(error, ExportError::Layer(LayerError::MergeThroughActivation { .. })), "{error}");
}
