//! A base layer alone against the same layer with an adapter, 4096 → 4096.

use std::cell::RefCell;
use std::hint::black_box;

use lokr::core::Scalar;
use lokr::layers::{Activation, FullyConnected, GradientAt, Layer, LinearLayer, LoKrAdapter};
use ndarray::{Array1, Array2};

use crate::report::{Report, Row, Section, Target};
use crate::settings::Settings;
use crate::support::measure::{Contender, interleaved};
use crate::support::{Operator, Shape, generator, matrix};

const SIZE: usize = 4096;

const SHAPES: [Shape; 4] = [
    Shape::two(64, 64, 64, 64),
    Shape::low_rank(64, 64, 64, 64, 8),
    Shape::two(16, 16, 256, 256),
    Shape::two(8, 8, 512, 512),
];

const BATCHES: [usize; 3] = [1, 32, 512];

/// The row of the base layer without an adapter.
const BASE_STEP: &str = "step without adapter";

const SECTION: Section = Section {
    name: "layers 4096 -> 4096",
    rate: "GFLOP/s",
    ratio: "x base",
    about: "time of the adapted layer / time of the base layer's forward, measured in turns; base frozen",
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Job {
    Forward,
    Step,
}

pub fn run<T: Scalar>(settings: &Settings, report: &mut Report) {
    let mut base = None;
    for batch in BATCHES {
        if settings.selects(&format!("{BASE_STEP} b{batch}")) {
            let base = base.get_or_insert_with(base_layer::<T>);
            report.row(measure_base_step(settings, base, batch));
        }
    }
    for job in [Job::Forward, Job::Step] {
        for shape in SHAPES {
            let batches = settings.selected(&BATCHES, |batch| format!("{} {shape} b{batch}", job.name()));
            if batches.is_empty() {
                continue;
            }
            let base = base.get_or_insert_with(base_layer::<T>).clone();
            let Operator::Two(delta) = Operator::new(shape, &mut generator()) else { continue };
            let scaling = T::from_f64_lossy(0.5);
            let adapter = RefCell::new(LoKrAdapter::from_delta(base, delta, scaling).expect("the shapes fit"));
            for batch in batches {
                report.row(measure(settings, job, shape, &adapter, batch));
            }
        }
    }
}

/// What a step costs without an adapter: the layer's forward, which keeps its input, and the gradient of that input.
fn measure_base_step<T: Scalar>(settings: &Settings, base: &mut FullyConnected<T>, batch: usize) -> Row {
    let rng = &mut generator();
    let (x, dy): (Array2<T>, Array2<T>) = (matrix(rng, batch, SIZE), matrix(rng, batch, SIZE));
    let (mut y, mut dx, mut y_alone) = (Array2::zeros(x.dim()), Array2::zeros(x.dim()), Array2::zeros(x.dim()));
    let base = RefCell::new(base);
    let step = Contender::new(|| {
        let mut base = base.borrow_mut();
        base.forward_into(&x, black_box(&mut y)).expect("the shapes fit");
        base.input_gradient_into(&dy, black_box(&mut dx)).expect("the shapes fit");
    });
    let alone = Contender::new(|| base.borrow().predict_into(&x, black_box(&mut y_alone)).expect("the shapes fit"));
    let [step, alone] = interleaved(settings.effort, [step, alone]);
    Row {
        section: SECTION,
        name: BASE_STEP.into(),
        batch: Some(batch),
        min: step.min(),
        median: step.median(),
        rate: Some((4 * batch * SIZE * SIZE) as f64 / step.median() / 1e9),
        ratio: step.ratio(&alone),
        target: None,
        moving: None,
        naive: None,
    }
}

fn base_layer<T: Scalar>() -> FullyConnected<T> {
    let rng = &mut generator();
    let bias: Array1<T> = matrix(rng, 1, SIZE).into_iter().collect();
    FullyConnected::from_arrays(matrix(rng, SIZE, SIZE), bias, Activation::Identity).expect("the shapes fit")
}

fn measure<T: Scalar>(
    settings: &Settings,
    job: Job,
    shape: Shape,
    adapter: &RefCell<LoKrAdapter<T, FullyConnected<T>>>,
    batch: usize,
) -> Row {
    let rng = &mut generator();
    let (x, dy): (Array2<T>, Array2<T>) = (matrix(rng, batch, SIZE), matrix(rng, batch, SIZE));
    let (mut y, mut dx, mut y_base) = (Array2::zeros(x.dim()), Array2::zeros(x.dim()), Array2::zeros(x.dim()));
    let adapted = Contender::new(|| match job {
        Job::Forward => adapter.borrow().predict_into(&x, black_box(&mut y)).expect("the shapes fit"),
        Job::Step => {
            let mut adapter = adapter.borrow_mut();
            adapter.clear_gradients();
            adapter.forward_into(&x, black_box(&mut y)).expect("the shapes fit");
            adapter.backward_into(&dy, GradientAt::Output, black_box(&mut dx)).expect("the shapes fit");
        }
    });
    // The very layer that is inside the adapter: a copy may lie on other pages and be faster or slower for it.
    let alone = Contender::new(|| {
        adapter.borrow().base_layer().predict_into(&x, black_box(&mut y_base)).expect("the shapes fit");
    });
    let [adapted, alone] = interleaved(settings.effort, [adapted, alone]);
    let base_flops = (2 * batch * SIZE * SIZE) as f64;
    let flops = match job {
        Job::Forward => base_flops + crate::support::forward_flops(shape, batch) as f64,
        Job::Step => {
            let adapter = crate::support::forward_flops(shape, batch) + crate::support::backward_flops(shape, batch);
            2.0 * base_flops + adapter as f64
        }
    };
    Row {
        section: SECTION,
        name: format!("{} {shape}", job.name()),
        batch: Some(batch),
        min: adapted.min(),
        median: adapted.median(),
        rate: Some(flops / adapted.median() / 1e9),
        ratio: adapted.ratio(&alone),
        target: match (job, batch) {
            (Job::Forward, 1 | 512) => Some(Target::AtMost(1.05)),
            (Job::Step, 512) => Some(Target::AtMost(2.15)),
            _ => None,
        },
        moving: None,
        naive: None,
    }
}

impl Job {
    fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Step => "step",
        }
    }
}
