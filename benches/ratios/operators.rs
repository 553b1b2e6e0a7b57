//! Apply and backward of every shape against the peak and against the naive product.

use std::hint::black_box;

use lokr::core::{KronGradients, Scalar};
use ndarray::Array2;

use crate::peak::{SquareProduct, copy};
use crate::report::{Report, Row, Section, Target};
use crate::settings::Settings;
use crate::support::measure::{Contender, Times, interleaved};
use crate::support::{Operator, Shape, backward_flops, forward_flops, generator, matrix, naive_apply, naive_gradients};

const SHAPES: [Shape; 13] = [
    Shape::two(64, 64, 64, 64),
    Shape::two(32, 32, 32, 32),
    Shape::two(48, 24, 64, 32),
    Shape::two(128, 128, 128, 128),
    Shape::two(16, 16, 256, 256),
    Shape::two(8, 8, 512, 512),
    Shape::two(4, 4, 1024, 1024),
    Shape::two(2, 1, 127, 127),
    Shape::low_rank(64, 64, 64, 64, 8),
    Shape::low_rank(16, 16, 256, 256, 8),
    Shape::chain(8, 4),
    Shape::chain(16, 3),
    Shape::chain(8, 5),
];

const BATCHES: [usize; 3] = [1, 32, 512];

const SECTION: Section = Section {
    name: "operators",
    rate: "GFLOP/s",
    ratio: "of peak",
    about: "fewest flops / time; share of the square product's rate, measured in turns; moving: share of the time that \
            moving inputs and outputs takes at the rate of a parallel copy",
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Apply,
    Backward,
}

pub fn run<T: Scalar>(settings: &Settings, report: &mut Report) {
    let mut square = None;
    for direction in [Direction::Apply, Direction::Backward] {
        for shape in SHAPES {
            let batches = settings.selected(&BATCHES, |batch| format!("{} {shape} b{batch}", direction.name()));
            if batches.is_empty() {
                continue;
            }
            let square = square.get_or_insert_with(SquareProduct::<T>::new);
            let operator = Operator::<T>::new(shape, &mut generator());
            for batch in batches {
                report.row(measure(settings, direction, shape, &operator, batch, square));
            }
        }
    }
}

fn measure<T: Scalar>(
    settings: &Settings,
    direction: Direction,
    shape: Shape,
    operator: &Operator<T>,
    batch: usize,
    square: &mut SquareProduct<T>,
) -> Row {
    let mut data = Data::new(direction, shape, operator, batch);
    let flops = direction.flops(shape, batch) as f64;
    let peak_flops = square.flops();
    let (source, mut copied) = (data.x.clone(), data.x.clone());
    let copy = || copy(source.as_slice().unwrap_or(&[]), copied.as_slice_mut().unwrap_or(&mut []));
    let contenders = [Contender::new(|| data.run(operator)), Contender::new(|| square.run()), Contender::new(copy)];
    let [times, peak, copied_in] = interleaved(settings.effort, contenders);
    // The copy reads and writes as many values as `x` has.
    let moved = direction.values_moved(shape, batch) as f64 / (2 * batch * shape.dim().1) as f64;
    let share = times.paired(&peak, |ours, peak| (flops / ours) / (peak_flops / peak));
    let naive = naive(settings, shape, operator, &mut data).map(|[ours, naive]| naive.ratio(&ours));
    Row {
        section: SECTION,
        name: format!("{} {shape}", direction.name()),
        batch: Some(batch),
        min: times.min(),
        median: times.median(),
        rate: Some(flops / times.median() / 1e9),
        ratio: share,
        target: direction.target(shape, batch),
        moving: Some(moved * copied_in.ratio(&times)),
        naive,
    }
}

fn naive<T: Scalar>(
    settings: &Settings,
    shape: Shape,
    operator: &Operator<T>,
    data: &mut Data<T>,
) -> Option<[Times; 2]> {
    let (height, width) = shape.dim();
    let backward_of_chain = data.direction == Direction::Backward && matches!(operator, Operator::Chain(_));
    if height * width * size_of::<T>() > settings.naive_bytes || backward_of_chain {
        return None;
    }
    check(shape, operator, data);
    let Data { direction, x, dy, .. } = &*data;
    let (direction, x, dy) = (*direction, x.clone(), dy.clone());
    let (mut y, mut dx) = (Array2::zeros(dy.dim()), Array2::zeros(x.dim()));
    let work = move || match direction {
        Direction::Apply => naive_apply(operator, &x, black_box(&mut y)),
        Direction::Backward => {
            black_box(naive_gradients(operator, &x, &dy, black_box(&mut dx)));
        }
    };
    Some(interleaved(settings.naive_effort, [Contender::new(|| data.run(operator)), Contender::new(work)]))
}

/// Both ways give the same result; what is not right is not worth timing.
fn check<T: Scalar>(shape: Shape, operator: &Operator<T>, data: &Data<T>) {
    let Data { direction, x, dy, .. } = data;
    let (mut ours, mut naive) = (Array2::zeros(dy.dim()), Array2::zeros(dy.dim()));
    if *direction == Direction::Apply {
        operator.apply_into(x, &mut ours);
        naive_apply(operator, x, &mut naive);
        return assert_close(shape, &ours, &naive);
    }
    let (mut ours, mut naive) = (Array2::zeros(x.dim()), Array2::zeros(x.dim()));
    let mut gradients = operator.gradients();
    operator.gradients_into(x, dy, &mut gradients, &mut ours);
    let reference = naive_gradients(operator, x, dy, &mut naive);
    assert_close(shape, &ours, &naive);
    if let [a, b] = gradients.parts() {
        assert_close(shape, a, &reference.a);
        assert_close(shape, b, &reference.b);
    }
}

fn assert_close<T: Scalar>(shape: Shape, ours: &Array2<T>, naive: &Array2<T>) {
    let largest = |matrix: &Array2<T>| matrix.iter().fold(0.0, |m: f64, v| m.max(v.to_f64_exact().abs()));
    let (difference, scale) = (largest(&(ours - naive)), largest(naive));
    assert!(difference <= 1e-3 * scale, "{shape}: differs from the naive way by {difference:e} of {scale:e}");
}

/// Inputs and outputs of one operator and batch.
struct Data<T> {
    direction: Direction,
    x: Array2<T>,
    /// The output of apply, the given gradient of backward.
    dy: Array2<T>,
    dx: Array2<T>,
    gradients: KronGradients<T>,
}

impl<T: Scalar> Data<T> {
    fn new(direction: Direction, shape: Shape, operator: &Operator<T>, batch: usize) -> Self {
        let ((height, width), rng) = (shape.dim(), &mut generator());
        Self {
            direction,
            x: matrix(rng, batch, width),
            dy: matrix(rng, batch, height),
            dx: Array2::zeros((batch, width)),
            gradients: operator.gradients(),
        }
    }

    fn run(&mut self, operator: &Operator<T>) {
        match self.direction {
            Direction::Apply => operator.apply_into(&self.x, black_box(&mut self.dy)),
            Direction::Backward => {
                operator.gradients_into(&self.x, &self.dy, &mut self.gradients, black_box(&mut self.dx));
            }
        }
    }
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Backward => "backward",
        }
    }

    fn flops(self, shape: Shape, batch: usize) -> usize {
        match self {
            Self::Apply => forward_flops(shape, batch),
            Self::Backward => backward_flops(shape, batch),
        }
    }

    /// Values of the inputs and outputs.
    fn values_moved(self, shape: Shape, batch: usize) -> usize {
        let (height, width) = shape.dim();
        match self {
            Self::Apply => batch * (width + height),
            Self::Backward => batch * (2 * width + height),
        }
    }

    /// The numbers the project set itself, for batches large enough to share the cost of a call.
    fn target(self, shape: Shape, batch: usize) -> Option<Target> {
        match (self, shape.smallest_side()) {
            _ if batch < 128 => None,
            (Self::Apply, 32..) => Some(Target::AtLeast(0.85)),
            (Self::Apply, 8..) => Some(Target::AtLeast(0.60)),
            (Self::Backward, 8..) => Some(Target::AtLeast(0.75)),
            _ => None,
        }
    }
}
