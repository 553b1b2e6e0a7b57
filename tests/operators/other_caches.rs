//! The cuts follow from the caches of the machine: on smaller and larger ones the results are the same to rounding.

use std::process::Command;

use lokr::core::matmul_into;
use ndarray::Array2;

/// Runs these tests again in a process that believes in other caches, in KiB of the second and the last level.
#[test]
fn products_are_right_on_machines_with_other_caches() {
    for caches in ["64,64", "8192,1048576"] {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["kron_apply::apply_equals_the_dense_product", "this_machine"])
            .env("LOKR_CACHES", caches)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && !text.contains("running 0 tests"), "{caches}: {text}");
    }
}

/// Batches on both sides of the limits, against one in which every row is a batch of its own.
#[test]
fn batches_of_every_size_are_right_on_this_machine() {
    let (k, n) = (257, 129);
    let weight = Array2::from_shape_fn((n, k), |(i, j)| ((i * 7 + j * 3) % 11) as f32 - 5.0);
    for rows in [1, 2, 5, 48, 49, 128, 129, 200] {
        let x = Array2::from_shape_fn((rows, k), |(i, j)| ((i * 5 + j) % 13) as f32 - 6.0);
        let back = Array2::from_shape_fn((rows, n), |(i, j)| ((i + j * 5) % 7) as f32 - 3.0);
        let (mut y, mut dx) = (Array2::from_elem((rows, n), f32::NAN), Array2::from_elem((rows, k), f32::NAN));
        matmul_into(1.0, &x, &weight.t(), 0.0, &mut y).unwrap();
        matmul_into(1.0, &back, &weight, 0.0, &mut dx).unwrap();
        for (i, (y, dx)) in y.rows().into_iter().zip(dx.rows()).enumerate() {
            // Whole numbers below 2^24: every order of adding gives the same.
            assert!(
                weight
                    .rows()
                    .into_iter()
                    .zip(y)
                    .all(|(w, &y)| w.iter().zip(x.row(i)).map(|(w, x)| w * x).sum::<f32>() == y)
            );
            assert!(
                weight
                    .columns()
                    .into_iter()
                    .zip(dx)
                    .all(|(w, &dx)| { w.iter().zip(back.row(i)).map(|(w, g)| w * g).sum::<f32>() == dx })
            );
        }
    }
}
