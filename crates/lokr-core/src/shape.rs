//! The four sizes of a Kronecker product of two factors. `check.rs` makes them.

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
