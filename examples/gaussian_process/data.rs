//! The air temperature over Great Britain and Ireland on a grid of hours, latitudes and longitudes.

use std::error::Error;
use std::iter;

use ndarray::{Array1, Array3, Axis, Slice};

/// Compiled in, so that the example runs from any folder.
const CSV: &str = include_str!("../data/temperature.csv");

/// Temperatures on a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Temperature {
    /// Hours, latitudes from north to south and longitudes from west to east, in degrees.
    pub axes: [Array1<f64>; 3],
    /// In °C, `(hour, latitude, longitude)`.
    pub values: Array3<f64>,
}

impl Temperature {
    pub fn load() -> Result<Self, Box<dyn Error>> {
        let mut lines = CSV.lines();
        let header = lines.next().unwrap_or_default();
        let longitudes = header.split(',').skip(2).map(str::parse).collect::<Result<Array1<f64>, _>>()?;
        let (mut hours, mut latitudes, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (index, line) in lines.enumerate() {
            let bad = |error: &dyn std::fmt::Display| format!("temperature.csv, line {}: {error}", index + 2);
            let row: Vec<f64> =
                line.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|error| bad(&error))?;
            let [hour, latitude, row @ ..] = row.as_slice() else { return Err(bad(&"too short").into()) };
            if hours.last() != Some(hour) {
                hours.push(*hour);
            }
            if hours.len() == 1 {
                latitudes.push(*latitude);
            }
            values.extend_from_slice(row);
        }
        let values = Array3::from_shape_vec((hours.len(), latitudes.len(), longitudes.len()), values)?;
        Ok(Self { axes: [hours.into(), latitudes.into(), longitudes], values })
    }

    /// Every `step`-th point along each axis.
    pub fn thinned(&self, steps: [usize; 3]) -> Self {
        let mut thinned = self.clone();
        for (axis, step) in steps.into_iter().enumerate() {
            let every = Slice::from(..).step_by(step as isize);
            thinned.axes[axis] = self.axes[axis].slice_axis(Axis(0), every).to_owned();
            thinned.values = thinned.values.slice_axis(Axis(axis), every).to_owned();
        }
        thinned
    }

    /// The map of one hour, as a grid of that hour alone.
    pub fn at(&self, index: usize) -> Self {
        let mut map = self.clone();
        map.axes[0] = self.axes[0].slice_axis(Axis(0), Slice::from(index..=index)).to_owned();
        map.values = self.values.slice_axis(Axis(0), Slice::from(index..=index)).to_owned();
        map
    }

    /// For each value, whether it is among the [thinned](Self::thinned) ones.
    pub fn is_thinned(&self, steps: [usize; 3]) -> Vec<bool> {
        let indices = self.values.indexed_iter().map(|((i, j, k), _)| [i, j, k]);
        indices.map(|index| iter::zip(index, steps).all(|(index, step)| index.is_multiple_of(step))).collect()
    }
}
