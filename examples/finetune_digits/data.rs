//! The UCI handwritten digits: read, split, shifted.

use std::error::Error;
use std::fmt;

use lokr::layers::rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use ndarray::{Array2, Axis};

/// Side of an image in pixels.
pub const SIDE: usize = 8;
/// Digits from 0 to 9.
pub const CLASSES: usize = 10;
/// The darkest pixel in the file.
const DARKEST: f32 = 16.0;

/// Compiled in, so that the example runs from any folder.
const CSV: &str = include_str!("../data/digits.csv");

/// Images and what they show.
#[derive(Debug, Clone, PartialEq)]
pub struct Digits {
    /// One image per row, `(images, 64)`, row by row, from -1 (paper) to 1 (ink).
    pub images: Array2<f32>,
    /// The digit on each image.
    pub labels: Vec<usize>,
}

/// Three parts that have no image in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// To learn from.
    pub train: Digits,
    /// To watch learning and to choose settings by.
    pub validation: Digits,
    /// For the final figures only.
    pub test: Digits,
}

impl Digits {
    /// All 1797 images.
    pub fn load() -> Result<Self, Box<dyn Error>> {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for (index, line) in CSV.lines().enumerate().skip(1) {
            let values: Vec<u8> = line
                .split(',')
                .map(str::parse)
                .collect::<Result<_, _>>()
                .map_err(|error| format!("digits.csv, line {}: {error}", index + 1))?;
            let [image @ .., label] = values.as_slice() else {
                return Err(format!("digits.csv, line {}: empty", index + 1).into());
            };
            pixels.extend(image.iter().map(|&ink| f32::from(ink) / DARKEST * 2.0 - 1.0));
            labels.push(usize::from(*label));
        }
        let images = Array2::from_shape_vec((labels.len(), SIDE * SIDE), pixels)?;
        Ok(Self { images, labels })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The images at `indices`, in that order.
    pub fn select(&self, indices: &[usize]) -> Self {
        let labels = indices.iter().map(|&i| self.labels[i]).collect();
        Self { images: self.images.select(Axis(0), indices), labels }
    }

    /// 60 % to train, 20 % to validate and 20 % to test, of every digit alike, drawn by `seed`.
    pub fn split(&self, seed: u64) -> Split {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut train, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
        for class in 0..CLASSES {
            let mut members: Vec<usize> = (0..self.len()).filter(|&i| self.labels[i] == class).collect();
            members.shuffle(&mut rng);
            let fifth = members.len() / 5;
            test.extend(members.drain(..fifth));
            validation.extend(members.drain(..fifth));
            train.extend(members);
        }
        Split { train: self.select(&train), validation: self.select(&validation), test: self.select(&test) }
    }

    /// The same images in the other domain: turned clockwise by 90°, ink and paper exchanged.
    pub fn shifted(&self) -> Self {
        let images = Array2::from_shape_fn(self.images.dim(), |(i, pixel)| {
            let (row, column) = (pixel / SIDE, pixel % SIDE);
            -self.images[[i, (SIDE - 1 - column) * SIDE + row]]
        });
        Self { images, labels: self.labels.clone() }
    }
}

impl Split {
    /// All three parts in the other domain, see [`Digits::shifted`].
    pub fn shifted(&self) -> Self {
        Self { train: self.train.shifted(), validation: self.validation.shifted(), test: self.test.shifted() }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [train, validation, test] = [self.train.len(), self.validation.len(), self.test.len()];
        write!(f, "{train} images to train, {validation} to validate, {test} to test")
    }
}
