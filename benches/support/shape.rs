//! The named shapes.

use std::fmt;
use std::str::FromStr;

/// An operator to measure, by its sizes. Written and parsed as `64x64*64x32` (two factors), `64x64*64r8x64` (the second
/// one of rank 8) or `8^4` (a chain of equal square factors).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `A (m, n) ⊗ B (p, q)`, `B` full or held as `(p, rank)·(rank, q)`.
    Two { m: usize, n: usize, p: usize, q: usize, rank: Option<usize> },
    /// `length` factors `(side, side)`.
    Chain { side: usize, length: usize },
}

impl Shape {
    pub const fn two(m: usize, n: usize, p: usize, q: usize) -> Self {
        Self::Two { m, n, p, q, rank: None }
    }

    pub const fn low_rank(m: usize, n: usize, p: usize, q: usize, rank: usize) -> Self {
        Self::Two { m, n, p, q, rank: Some(rank) }
    }

    pub const fn chain(side: usize, length: usize) -> Self {
        Self::Chain { side, length }
    }

    /// Sizes of output and input.
    pub fn dim(self) -> (usize, usize) {
        match self {
            Self::Two { m, n, p, q, .. } => (m * p, n * q),
            Self::Chain { side, length } => (side.pow(length as u32), side.pow(length as u32)),
        }
    }

    /// The smallest side of any matrix in it, the rank included.
    pub fn smallest_side(self) -> usize {
        match self {
            Self::Two { m, n, p, q, rank } => m.min(n).min(p).min(q).min(rank.unwrap_or(usize::MAX)),
            Self::Chain { side, .. } => side,
        }
    }

    /// Shapes of its matrices, axis by axis, `(out, in)`, the one that is applied first in front.
    pub fn axes(self) -> Vec<Vec<(usize, usize)>> {
        match self {
            Self::Two { m, n, p, q, rank: None } => vec![vec![(m, n)], vec![(p, q)]],
            Self::Two { m, n, p, q, rank: Some(r) } => vec![vec![(m, n)], vec![(r, q), (p, r)]],
            Self::Chain { side, length } => vec![vec![(side, side)]; length],
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Two { m, n, p, q, rank: None } => format!("{m}x{n}*{p}x{q}"),
            Self::Two { m, n, p, q, rank: Some(r) } => format!("{m}x{n}*{p}r{r}x{q}"),
            Self::Chain { side, length } => format!("{side}^{length}"),
        };
        f.pad(&name)
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("{text:?} is not a shape such as 64x64*64x32, 64x64*64r8x64 or 8^4");
        let number = |part: &str| part.parse::<usize>().map_err(|_| error());
        if let Some((side, length)) = text.split_once('^') {
            return Ok(Self::chain(number(side)?, number(length)?));
        }
        let (a, b) = text.split_once('*').ok_or_else(error)?;
        let ((m, n), (p, q)) = a.split_once('x').zip(b.split_once('x')).ok_or_else(error)?;
        let (p, rank) = match p.split_once('r') {
            Some((p, rank)) => (p, Some(number(rank)?)),
            None => (p, None),
        };
        Ok(Self::Two { m: number(m)?, n: number(n)?, p: number(p)?, q: number(q)?, rank })
    }
}
