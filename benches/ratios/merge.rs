//! `W += s·A ⊗ B` against the bandwidth of a pass over `W`.

use std::hint::black_box;

use lokr::core::Scalar;
use ndarray::{Array2, ArrayRef2};

use crate::peak::{copy, pass_in_place};
use crate::report::{Report, Row, Section, Target};
use crate::settings::Settings;
use crate::support::measure::{Contender, interleaved};
use crate::support::{Operator, Shape, generator, matrix, naive_merge};

const SHAPES: [Shape; 6] = [
    Shape::two(64, 64, 64, 64),
    Shape::two(16, 16, 256, 256),
    Shape::two(8, 8, 512, 512),
    Shape::two(4, 4, 1024, 1024),
    Shape::low_rank(64, 64, 64, 64, 8),
    Shape::two(48, 24, 64, 32),
];

const SECTION: Section = Section {
    name: "merge",
    rate: "GB/s",
    ratio: "of pass",
    about: "2 x bytes of W / time; share of the rate of a parallel `w *= c` over the same W, measured in turns",
};

pub fn run<T: Scalar>(settings: &Settings, report: &mut Report) {
    for shape in SHAPES {
        for layout in [Layout::RowMajor, Layout::ColumnMajor] {
            let name = format!("merge {shape}{}", layout.suffix());
            if !settings.selects(&name) || (layout == Layout::ColumnMajor && shape != SHAPES[0]) {
                continue;
            }
            measure::<T>(settings, report, shape, layout, name);
        }
    }
}

/// How `W (out, in)` lies in memory: as in a `FullyConnected`, or as in a `Dense`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    RowMajor,
    ColumnMajor,
}

impl Layout {
    fn suffix(self) -> &'static str {
        match self {
            Self::RowMajor => "",
            Self::ColumnMajor => " col-major",
        }
    }

    fn of<T>(self, stored: &mut Array2<T>) -> ndarray::ArrayViewMut2<'_, T> {
        match self {
            Self::RowMajor => stored.view_mut(),
            Self::ColumnMajor => stored.view_mut().reversed_axes(),
        }
    }
}

fn measure<T: Scalar>(settings: &Settings, report: &mut Report, shape: Shape, layout: Layout, name: String) {
    let rng = &mut generator();
    let operator = Operator::<T>::new(shape, rng);
    let (height, width) = shape.dim();
    let mut w: Array2<T> = match layout {
        Layout::RowMajor => matrix(rng, height, width),
        Layout::ColumnMajor => matrix(rng, width, height),
    };
    // Of equal size, and written to before the clock runs, so that the pages are there.
    let (mut passed, mut copied, source) = (w.clone(), w.clone(), w.clone());
    // Small and of both signs in turn, so that nothing grows.
    let mut step = T::from_f64_lossy(1e-3);
    let merge = Contender::new(|| {
        step = -step;
        operator.merge(step, black_box(&mut layout.of(&mut w)));
    });
    let mut scale = T::from_f64_lossy(1.25);
    let pass = Contender::new(|| {
        pass_in_place(slice_mut(&mut passed), scale);
        scale = T::one() / scale;
    });
    let copy = Contender::new(|| copy(source.as_slice().unwrap_or(&[]), slice_mut(&mut copied)));
    let [merge, pass, copied_in] = interleaved(settings.effort, [merge, pass, copy]);

    let mut naive_w = source.clone();
    let naive = (height * width * size_of::<T>() <= settings.naive_bytes).then(|| {
        let ours = Contender::new(|| operator.merge(step, black_box(&mut layout.of(&mut w))));
        let naive = Contender::new(|| naive_merge(&operator, step, black_box(&mut layout.of(&mut naive_w))));
        let [ours, naive] = interleaved(settings.naive_effort, [ours, naive]);
        naive.ratio(&ours)
    });

    let gigabytes = 2.0 * (height * width * size_of::<T>()) as f64 / 1e9;
    let row = |name: String, times: &crate::support::measure::Times, target, naive| Row {
        section: SECTION,
        name,
        batch: None,
        min: times.min(),
        median: times.median(),
        rate: Some(gigabytes / times.median()),
        ratio: pass.ratio(times),
        target,
        moving: None,
        naive,
    };
    report.row(row(name.clone(), &merge, Some(Target::AtLeast(0.8)), naive));
    if name == format!("merge {}", SHAPES[0]) {
        report.row(row("  pass `w *= c` in place".into(), &pass, None, None));
        report.row(row("  copy of w".into(), &copied_in, None, None));
    }
}

fn slice_mut<T>(matrix: &mut ArrayRef2<T>) -> &mut [T] {
    matrix.as_slice_mut().expect("owned arrays are contiguous")
}
