//! The example `finetune_digits` in small: its data, its network and its training, with fewer and smaller layers.
#![allow(clippy::unwrap_used)] // A helper that fails is a test that fails.

use crate::data::{CLASSES, Digits, SIDE, Split};
use crate::training::{
    Recipe, Run, adapt, adapt_lora, compare, convolutional_network, last_layer, lora_ranks, network, test, train,
};
use lokr::layers::{Layer, Sequential};
use ndarray::Array1;

const SEED: u64 = 5;
const PRETRAIN: Recipe = Recipe { epochs: 8, batch_size: 32, learning_rate: 0.003, seed: SEED };
const TUNE: Recipe = Recipe { epochs: 12, batch_size: 32, learning_rate: 0.01, seed: SEED };

/// Both domains, split alike.
fn domains() -> (Split, Split) {
    let upright = Digits::load().unwrap().split(SEED);
    let shifted = upright.shifted();
    (upright, shifted)
}

fn fit(network: &mut Sequential<f32>, digits: &Split, recipe: &Recipe) -> Run {
    let mut epochs = 0;
    let run = train("test", network, digits, recipe, &mut |_| epochs += 1).unwrap();
    assert_eq!((epochs, run.losses.len(), run.accuracies.len()), (recipe.epochs, recipe.epochs, recipe.epochs + 1));
    assert_eq!(run.trainable, network.parameter_count());
    run
}

fn pretrained(upright: &Split) -> Sequential<f32> {
    let mut base = network(&[96, 64], SEED).unwrap();
    fit(&mut base, upright, &PRETRAIN);
    base
}

fn bits(parameters: &Array1<f32>) -> Vec<u32> {
    parameters.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn adapters_teach_a_frozen_base_the_shifted_digits() {
    let (upright, shifted) = domains();
    let base = pretrained(&upright);
    let (known, unknown) = (test(&base, &upright.test).unwrap(), test(&base, &shifted.test).unwrap());
    assert!(known > 0.93, "upright: {known}");
    assert!(unknown < 0.4, "shifted, before: {unknown}");

    let mut adapted = adapt(&base, 16, 4, SEED).unwrap();
    let share = adapted.parameter_count() as f64 / base.parameter_count() as f64;
    assert!(share < 0.1, "share of the parameters: {share}");
    assert_eq!(
        compare(&base, &adapted, &shifted.test).unwrap(),
        (0.0, shifted.test.len()),
        "new adapters change nothing"
    );
    let tuned = fit(&mut adapted, &shifted, &TUNE);
    assert_eq!(tuned.accuracies[0], test(&base, &shifted.validation).unwrap());
    assert!(tuned.losses[11] < 0.2 * tuned.losses[0], "{:?}", tuned.losses);
    assert!(tuned.test_accuracy > 0.9, "shifted, after: {}", tuned.test_accuracy);

    // One plain network, of the base's shape, with the adapted one's answers.
    let merged = adapted.merged().unwrap();
    assert_eq!(merged.parameter_count(), base.parameter_count());
    let (difference, same) = compare(&adapted, &*merged, &shifted.test).unwrap();
    assert!(difference < 1e-3, "merged and adapted outputs differ by {difference}");
    assert_eq!(same, shifted.test.len());
    assert_ne!(merged.parameters(), base.parameters());

    // Without their updates, what the adapters hold is the base, byte for byte.
    adapted.set_parameters(&Array1::zeros(adapted.parameter_count())).unwrap();
    assert_eq!(bits(&adapted.merged().unwrap().parameters()), bits(&base.parameters()));

    // The last layer alone, on what the layers before it make of the images, learns less.
    let (mut head, seen) = last_layer(&base, &shifted).unwrap();
    assert_eq!(test(&head, &seen.test).unwrap(), unknown);
    let head = fit(&mut head, &seen, &TUNE);
    assert_eq!(head.trainable, 64 * CLASSES + CLASSES);
    assert!(head.test_accuracy < tuned.test_accuracy, "{} and {}", head.test_accuracy, tuned.test_accuracy);
}

/// LoKr, LoRA with no more parameters, and all weights.
fn assert_that_all_learn(base: &Sequential<f32>, shifted: &Split) {
    let recipe = Recipe { epochs: 6, ..TUNE };
    let unknown = test(base, &shifted.test).unwrap();
    let mut lokr = adapt(base, 16, 4, SEED).unwrap();
    let ranks = lora_ranks(base, lokr.parameter_count());
    let mut lora = adapt_lora(base, &ranks, SEED).unwrap();
    let (of_lokr, of_lora) = (lokr.parameter_count(), lora.parameter_count());
    assert!(of_lora <= of_lokr && 10 * of_lora > 8 * of_lokr, "{ranks:?}: {of_lora} of {of_lokr} parameters");
    assert_eq!(compare(base, &lora, &shifted.test).unwrap(), (0.0, shifted.test.len()), "LoRA starts at nothing");
    for (name, network) in [("LoKr", &mut lokr), ("LoRA", &mut lora)] {
        let run = fit(network, shifted, &recipe);
        assert!(run.test_accuracy > 0.75, "{name}: from {unknown} to {}", run.test_accuracy);
        let merged = network.merged().unwrap();
        let (difference, same) = compare(network, &*merged, &shifted.test).unwrap();
        assert!(difference < 1e-3 && same == shifted.test.len(), "{name}: {difference}");
    }
    let run = fit(&mut base.clone(), shifted, &Recipe { learning_rate: 0.001, ..recipe });
    assert!(run.test_accuracy > 0.75, "all weights: from {unknown} to {}", run.test_accuracy);
}

#[test]
fn lokr_lora_and_all_weights_learn_side_by_side() {
    let (upright, shifted) = domains();
    assert_that_all_learn(&pretrained(&upright), &shifted);
}

#[test]
fn lokr_lora_and_all_weights_learn_on_convolutions() {
    let (upright, shifted) = domains();
    let mut base = convolutional_network(&[8, 16, 16], SEED).unwrap();
    fit(&mut base, &upright, &Recipe { epochs: 3, ..PRETRAIN });
    assert_that_all_learn(&base, &shifted);
}

#[test]
fn ranks_fill_a_budget() {
    let base = network(&[96, 64], SEED).unwrap(); // 160, 160 and 74 parameters a rank
    assert_eq!(lora_ranks(&base, 0), [1, 1, 1]);
    assert_eq!(lora_ranks(&base, 394), [1, 1, 1]);
    assert_eq!(lora_ranks(&base, 394 + 160), [2, 1, 1]);
    assert_eq!(lora_ranks(&base, 394 + 160 + 74), [2, 1, 2]);
    assert_eq!(lora_ranks(&base, 3 * 394), [3, 3, 3]);
}

#[test]
fn outputs_that_are_not_finite_agree_with_nothing() {
    let digits = Digits::load().unwrap().select(&[0, 1, 2]);
    let mut wild = network(&[8], SEED).unwrap();
    wild.set_parameters(&Array1::from_elem(wild.parameter_count(), f32::MAX)).unwrap();
    let (difference, same) = compare(&wild, &wild, &digits).unwrap();
    assert!(difference.is_nan(), "{difference}");
    assert_eq!(same, 0);
}

#[test]
fn the_same_seed_gives_the_same_numbers_on_one_thread_and_on_three() {
    let (_, shifted) = domains();
    let run = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut adapted = adapt(&network(&[48, 32], seed).unwrap(), 8, -1, seed).unwrap();
            let run = fit(&mut adapted, &shifted, &Recipe { epochs: 2, seed, ..TUNE });
            (run.losses, run.accuracies, bits(&adapted.parameters()))
        })
    };
    assert_eq!(run(1, SEED), run(3, SEED));
    assert_ne!(run(1, SEED), run(1, SEED + 1));
}

#[test]
fn the_parts_of_a_split_are_disjoint_and_hold_every_digit_alike() {
    let digits = Digits::load().unwrap();
    assert_eq!(digits.images.dim(), (1797, SIDE * SIDE));
    assert_eq!(digits.images[[0, 2]], 5.0 / 16.0 * 2.0 - 1.0); // the file's first line: 0,0,5,…
    assert!(digits.images.iter().all(|ink| (-1.0..=1.0).contains(ink)));

    // Numbered images, to see where each goes.
    let mut numbered = digits.clone();
    numbered.images.column_mut(0).assign(&Array1::range(0.0, 1797.0, 1.0));
    let Split { train, validation, test } = numbered.split(SEED);
    let mut numbers: Vec<usize> =
        [&train, &validation, &test].iter().flat_map(|part| part.images.column(0)).map(|&n| n as usize).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..1797));

    for class in 0..CLASSES {
        let count = |part: &Digits| part.labels.iter().filter(|&&label| label == class).count();
        let all = count(&digits);
        assert_eq!((count(&validation), count(&test)), (all / 5, all / 5), "digit {class}");
    }
    for (image, label) in test.images.rows().into_iter().zip(&test.labels) {
        assert_eq!(digits.labels[image[0] as usize], *label);
    }
    assert_eq!(digits.split(SEED), digits.split(SEED));
    assert_ne!(digits.split(SEED), digits.split(SEED + 1));
}

#[test]
fn shifting_turns_clockwise_and_inverts() {
    let digits = Digits::load().unwrap().select(&[0, 1, 2]);
    let shifted = digits.shifted();
    assert_eq!(shifted.labels, digits.labels);
    for (image, turned) in digits.images.rows().into_iter().zip(shifted.images.rows()) {
        for row in 0..SIDE {
            for column in 0..SIDE {
                // What stood in a row from the left stands in a column from the top, the first row rightmost.
                assert_eq!(turned[column * SIDE + (SIDE - 1 - row)], -image[row * SIDE + column]);
            }
        }
    }
}
