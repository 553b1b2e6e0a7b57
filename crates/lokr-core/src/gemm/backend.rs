//! Which library does the heavy matrix products.

// Linking happens through these crates; naming them keeps the linker from dropping them.
#[cfg(feature = "blas")]
use blas_src as _;
#[cfg(any(feature = "openblas-system", feature = "openblas-static"))]
use openblas_src as _;

/// The library that does the heavy matrix products, chosen by a cargo feature at build time.
///
/// # Examples
/// ```
/// let backend = lokr_core::backend();
/// println!("products by {backend}");
/// assert!(!backend.name().is_empty());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Pure-Rust kernels, threaded by rayon: no feature chosen.
    Embedded,
    /// OpenBLAS from the system (`openblas-system`).
    OpenBlasSystem,
    /// OpenBLAS built from source and linked statically (`openblas-static`).
    OpenBlasStatic,
    /// BLIS built from its bundled source (`blis`).
    Blis,
    /// Intel MKL (`intel-mkl`).
    IntelMkl,
    /// Apple's Accelerate (`accelerate`).
    Accelerate,
    /// Netlib's reference BLAS (`netlib`).
    Netlib,
    /// The internal feature `blas` without a provider: whatever BLAS the final program links.
    Linked,
}

impl Backend {
    /// Its name, as the cargo feature spells it (`"embedded"` when none is chosen).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::OpenBlasSystem => "openblas-system",
            Self::OpenBlasStatic => "openblas-static",
            Self::Blis => "blis",
            Self::IntelMkl => "intel-mkl",
            Self::Accelerate => "accelerate",
            Self::Netlib => "netlib",
            Self::Linked => "blas",
        }
    }

    /// Whether heavy products go to a BLAS.
    #[must_use]
    pub const fn is_blas(self) -> bool {
        !matches!(self, Self::Embedded)
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The backend this build uses. Features are meant to be chosen one at a time; of several, the first in the order of
/// [`Backend`]'s variants is named.
#[must_use]
pub const fn backend() -> Backend {
    if cfg!(feature = "openblas-system") {
        Backend::OpenBlasSystem
    } else if cfg!(feature = "openblas-static") {
        Backend::OpenBlasStatic
    } else if cfg!(feature = "blis") {
        Backend::Blis
    } else if cfg!(feature = "intel-mkl") {
        Backend::IntelMkl
    } else if cfg!(feature = "accelerate") {
        Backend::Accelerate
    } else if cfg!(feature = "netlib") {
        Backend::Netlib
    } else if cfg!(feature = "blas") {
        Backend::Linked
    } else {
        Backend::Embedded
    }
}
