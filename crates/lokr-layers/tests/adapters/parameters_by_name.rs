//! Values with names, checked before they are loaded; samples of more than two axes.

use std::collections::BTreeMap;

use lokr_layers::{
    Activation, Layer, LayerError, Loading, ShapeMismatch, as_rows, check_parameter_shapes, check_parameters,
    load_parameters, named_parameters, parameter, parameter_shapes, predict_axes, rename_parameters,
};
use ndarray::{Array1, Array2, ArrayD, IxDyn, array};

use crate::support::*;

fn layer() -> lokr_layers::LoKrAdapter<f64, lokr_layers::Dense<f64>> {
    let mut adapter = adapter(dense(&matrix::<f64>(6, 4, 1), &vector(6, 2), Activation::Relu), 2, 3);
    adapter.set_base_frozen(false);
    adapter
}

#[test]
fn every_mismatch_is_listed_and_nothing_is_loaded() {
    let mut layer = layer();
    let shapes = parameter_shapes(&layer);
    let names: Vec<&str> = shapes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["lokr_w1", "lokr_w2", "weight", "bias"]);
    let mut values = named_parameters(&layer).unwrap();
    assert_eq!(check_parameters(&layer, &values).unwrap().matched, names);
    assert!(check_parameters(&layer, &values).unwrap().is_complete());

    let before = layer.parameters();
    values.insert("weight".to_owned(), ArrayD::zeros(IxDyn(&[6, 4])));
    values.insert("lokr_w1".to_owned(), ArrayD::zeros(IxDyn(&[2])));
    values.get_mut("bias").unwrap()[[3]] = f64::NAN;
    values.remove("lokr_w2");
    values.insert("a.step".to_owned(), ArrayD::zeros(IxDyn(&[])));
    let report = check_parameters(&layer, &values).unwrap();
    let mismatch = |name: &str, expected: &[usize], found: &[usize]| ShapeMismatch {
        name: name.to_owned(),
        expected: expected.to_vec(),
        found: found.to_vec(),
    };
    let of_w1 = &shapes[0].1;
    assert_eq!(report.shapes, [mismatch("lokr_w1", of_w1, &[2]), mismatch("weight", &[4, 6], &[6, 4])]);
    assert_eq!(
        (report.missing.as_slice(), report.unknown.as_slice()),
        (&["lokr_w2".to_owned()][..], &["a.step".to_owned()][..])
    );
    assert_eq!(report.not_finite, [("bias".to_owned(), 1)]);
    assert!(!report.is_valid() && !report.is_complete() && report.matched.is_empty());
    assert_eq!(report.to_string().lines().count(), 6);
    assert!(load_parameters(&mut layer, &values, Loading::Partial).is_err());
    assert_eq!(layer.parameters(), before);

    // From a header alone.
    let given: BTreeMap<String, Vec<usize>> = shapes.iter().take(3).cloned().collect();
    let report = check_parameter_shapes(&layer, &given).unwrap();
    assert!(report.is_valid() && !report.is_complete());
    assert_eq!(report.missing, ["bias"]);
    assert!(!check_parameter_shapes(&layer, &BTreeMap::new()).unwrap().is_valid());
    let twice = check_parameter_shapes(&Twins(Square::new(3)), &BTreeMap::new()).unwrap_err();
    assert_eq!(twice, LayerError::RepeatedName { layer: "Twins", name: "offset".to_owned() });
}

#[test]
fn one_is_read_and_names_are_mapped() {
    let layer = layer();
    assert_eq!(parameter(&layer, "bias").unwrap(), vector::<f64>(6, 2).into_dyn());
    let unknown = LayerError::UnknownName { layer: "LoKrAdapter", name: "biases".to_owned() };
    assert_eq!(parameter(&layer, "biases").unwrap_err(), unknown);
    let theirs: BTreeMap<_, _> = named_parameters(&layer)
        .unwrap()
        .into_iter()
        .map(|(name, values)| (format!("model.{name}"), values))
        .chain([("epoch".to_owned(), ArrayD::zeros(IxDyn(&[])))])
        .collect();
    let ours = rename_parameters(theirs.clone(), |name| name.strip_prefix("model.").map(str::to_owned)).unwrap();
    assert_eq!(ours, named_parameters(&layer).unwrap());
    let error = rename_parameters(theirs, |_| Some("all".to_owned())).unwrap_err();
    assert!(matches!(error, LayerError::RepeatedName { name, .. } if name == "all"));
}

#[test]
fn samples_of_any_number_of_axes_are_rows() {
    let layer = layer();
    let rows = matrix::<f64>(6, 4, 9);
    let expected = layer.predict(&rows).unwrap();
    let x = rows.clone().into_shape_with_order((2, 3, 4)).unwrap();
    assert_eq!(predict_axes(&layer, &x).unwrap(), expected.clone().into_shape_with_order((2, 3, 6)).unwrap());
    let swapped = x.clone().permuted_axes([1, 0, 2]); // does not lie so
    let y = predict_axes(&layer, &swapped).unwrap();
    assert_eq!(y.permuted_axes([1, 0, 2]), expected.clone().into_shape_with_order((2, 3, 6)).unwrap());
    assert_eq!(predict_axes(&layer, &rows.row(0)).unwrap(), expected.row(0));
    assert_eq!(predict_axes(&layer, &Array2::<f64>::zeros((0, 4))).unwrap().dim(), (0, 6));
    let error = predict_axes(&layer, &Array1::<f64>::zeros(5)).unwrap_err();
    assert!(matches!(error, LayerError::Shape { argument: "x", expected: (1, 4), found: (1, 5), .. }), "{error}");
    assert!(as_rows(&ndarray::arr0(1.0)).is_err());
}

#[test]
fn a_derivative_is_that_of_central_differences() {
    let z = array![[-1.5, -0.25, 0.5, 2.0], [0.75, -3.0, 0.125, 1.0]];
    let h = 1e-6;
    for activation in ACTIVATIONS {
        let at = |z: &Array2<f64>| {
            let mut y = z.clone();
            activation.apply(&mut y);
            y
        };
        for row in z.rows() {
            let jacobian = activation.jacobian(&row).unwrap();
            let derivative = activation.derivative(&row.insert_axis(ndarray::Axis(0))).unwrap();
            assert_eq!(derivative.is_none(), activation == Activation::Softmax);
            for j in 0..4 {
                let shifted = |by: f64| {
                    let mut z = row.to_owned().insert_axis(ndarray::Axis(0));
                    z[[0, j]] += by;
                    at(&z)
                };
                let difference = (shifted(h) - shifted(-h)) / (2.0 * h);
                for i in 0..4 {
                    assert!((jacobian[[i, j]] - difference[[0, i]]).abs() < 1e-8, "{activation} {i} {j}");
                }
                if let Some(derivative) = &derivative {
                    assert_eq!(derivative[[0, j]], jacobian[[j, j]], "{activation}");
                }
            }
        }
        assert!(matches!(activation.backward(&z, &array![[1.0]]), Err(LayerError::Shape { argument: "dy", .. })));
    }
}
