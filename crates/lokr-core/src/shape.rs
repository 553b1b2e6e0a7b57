//! The four sizes of a Kronecker product of two factors.

use crate::error::{KronError, Result};

/// Sizes of `A ⊗ B` with `A (m, n)` and `B (p, q)`: the product is `(m·p, n·q)`.
///
/// # Examples
/// ```
/// use lokr_core::KronShape;
/// let shape = KronShape::new(50, 4, 20, 4)?;
/// assert_eq!(shape.dim(), (1000, 16));
/// assert_eq!(shape.parameter_count(), 50 * 4 + 20 * 4);
/// # Ok::<(), lokr_core::KronError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KronShape {
    /// Rows of `A`.
    pub m: usize,
    /// Columns of `A`.
    pub n: usize,
    /// Rows of `B`.
    pub p: usize,
    /// Columns of `B`.
    pub q: usize,
}

impl KronShape {
    /// Checks that no size is zero and that the product's element count fits in memory addresses.
    ///
    /// # Errors
    /// [`KronError::EmptyFactor`], [`KronError::TooLarge`].
    pub fn new(m: usize, n: usize, p: usize, q: usize) -> Result<Self> {
        for (name, rows, cols) in [("A", m, n), ("B", p, q)] {
            if rows == 0 || cols == 0 {
                return Err(KronError::EmptyFactor { name, rows, cols });
            }
        }
        KronError::checked_product("Kronecker product", &[m, n, p, q])?;
        Ok(Self { m, n, p, q })
    }

    /// Shape of the product, `(m·p, n·q)`.
    #[must_use]
    pub const fn dim(self) -> (usize, usize) {
        (self.m * self.p, self.n * self.q)
    }

    /// Values held by two full factors, `m·n + p·q`.
    #[must_use]
    pub const fn parameter_count(self) -> usize {
        self.m * self.n + self.p * self.q
    }
}

/// The two factor shapes: `(m, n) ⊗ (p, q)`.
impl std::fmt::Display for KronShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { m, n, p, q } = self;
        write!(f, "({m}, {n}) ⊗ ({p}, {q})")
    }
}
