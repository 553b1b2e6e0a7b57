//! What does the products on this machine: the library's version and the kernels that it chose.

use std::fmt;

use pulp::{Arch, WithSimd};

use super::backend::{Backend, backend};

/// The backend as it is on this machine, from [`backend_details`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BackendDetails {
    /// The library.
    pub backend: Backend,
    /// Its version, where it says so: `0.3.21`.
    pub version: Option<String>,
    /// The kernels that it chose for this processor, as it names them: `SkylakeX` of OpenBLAS; of the embedded ones the
    /// instruction set.
    pub kernels: Option<String>,
    /// What to do where these kernels are for older processors than this one, and therefore several times slower.
    pub advice: Option<String>,
}

/// The backend of this build, its version, and the kernels that it chose for this processor.
///
/// # Examples
/// ```
/// let details = lokr_core::backend_details();
/// println!("products by {details}"); // embedded, kernels for AVX-512
/// assert_eq!(details.backend, lokr_core::backend());
/// if let Some(advice) = details.advice {
///     println!("{advice}");
/// }
/// ```
#[must_use]
pub fn backend_details() -> BackendDetails {
    let backend = backend();
    let (version, kernels) = match backend {
        Backend::Embedded => (None, Some(Arch::new().dispatch(InstructionSet).to_owned())),
        _ => openblas::names(),
    };
    let advice = match (backend, &kernels) {
        (Backend::OpenBlasSystem | Backend::OpenBlasStatic, Some(kernels)) => advice(kernels, best_of_processor()),
        _ => None,
    };
    BackendDetails { backend, version, kernels, advice }
}

impl fmt::Display for BackendDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.backend)?;
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        match &self.kernels {
            Some(kernels) => write!(f, ", kernels for {kernels}"),
            None => Ok(()),
        }
    }
}

/// The instruction set that the embedded kernels run on.
struct InstructionSet;

impl WithSimd for InstructionSet {
    type Output = &'static str;

    fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
        match (S::F32_LANES, cfg!(target_arch = "x86_64")) {
            (16, _) => "AVX-512",
            (8, _) => "AVX2",
            (4, true) => "SSE2",
            (4, false) => "NEON",
            _ => "any processor",
        }
    }
}

/// The newest x86-64 level that matters to OpenBLAS and that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Older,
    Avx2,
    Avx512,
}

fn best_of_processor() -> Level {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
        return Level::Avx512;
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        return Level::Avx2;
    }
    Level::Older
}

/// OpenBLAS's names of its kernels for x86-64 processors without AVX2, from its list of targets.
const WITHOUT_AVX2: [&str; 18] = [
    "Generic",
    "Katmai",
    "Coppermine",
    "Northwood",
    "Prescott",
    "Banias",
    "Atom",
    "Core2",
    "Penryn",
    "Dunnington",
    "Nehalem",
    "Sandybridge",
    "Athlon",
    "Opteron",
    "Barcelona",
    "Bobcat",
    "Bulldozer",
    "Nano",
];

fn advice(kernels: &str, best: Level) -> Option<String> {
    let is_old = WITHOUT_AVX2.iter().any(|old| kernels.to_ascii_lowercase().starts_with(&old.to_ascii_lowercase()));
    let known = match best {
        _ if !is_old => return None,
        Level::Older => return None,
        Level::Avx2 => "Haswell",
        Level::Avx512 => "SkylakeX",
    };
    Some(format!(
        "this OpenBLAS does not know the processor and uses kernels for {kernels}, which lack half of its instructions; \
         a newer OpenBLAS knows it, and with OPENBLAS_CORETYPE={known} in the environment this one takes other kernels"
    ))
}

#[cfg(any(feature = "openblas-system", feature = "openblas-static"))]
mod openblas {
    #![allow(unsafe_code)] // Two functions of a C library that return its own constant strings.

    use std::ffi::{CStr, c_char};

    unsafe extern "C" {
        fn openblas_get_config() -> *const c_char;
        fn openblas_get_corename() -> *const c_char;
    }

    /// Version and kernels. The configuration is a line such as `OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH …`.
    pub(super) fn names() -> (Option<String>, Option<String>) {
        // SAFETY: both take nothing and return null or a string that ends with zero and lives as long as the library,
        // which is linked.
        let (config, kernels) = unsafe { (text(openblas_get_config()), text(openblas_get_corename())) };
        let version = config.and_then(|config| {
            let mut words = config.split_whitespace().skip_while(|word| *word != "OpenBLAS");
            words.nth(1).map(str::to_owned)
        });
        (version, kernels)
    }

    /// # Safety
    /// `pointer` must be null or point to a string that ends with zero.
    unsafe fn text(pointer: *const c_char) -> Option<String> {
        if pointer.is_null() {
            return None;
        }
        // SAFETY: the contract.
        Some(unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
    }
}

#[cfg(not(any(feature = "openblas-system", feature = "openblas-static")))]
mod openblas {
    /// Of other libraries nothing is known.
    pub(super) fn names() -> (Option<String>, Option<String>) {
        (None, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_kernels_on_a_new_processor_are_worth_a_word() {
        let advised = |kernels, best| advice(kernels, best).is_some();
        assert!(
            advised("Prescott", Level::Avx512) && advised("PRESCOTT", Level::Avx2) && advised("Generic", Level::Avx2)
        );
        assert!(!advised("Prescott", Level::Older));
        for kernels in ["SkylakeX", "Haswell", "Zen", "Cooperlake", "SapphireRapids", "armv8"] {
            assert!(!advised(kernels, Level::Avx512), "{kernels}");
        }
        assert!(advice("Core2", Level::Avx2).unwrap().contains("OPENBLAS_CORETYPE=Haswell"));
        assert!(advice("Core2", Level::Avx512).unwrap().contains("OPENBLAS_CORETYPE=SkylakeX"));
    }

    #[test]
    fn the_details_are_those_of_the_backend_in_use() {
        let details = backend_details();
        assert_eq!(details.backend, backend());
        assert!(details.to_string().starts_with(backend().name()), "{details}");
        if backend() == Backend::Embedded {
            assert!(details.kernels.is_some() && details.advice.is_none());
        }
        if cfg!(any(feature = "openblas-system", feature = "openblas-static")) {
            let version = details.version.unwrap();
            assert!(version.split('.').count() >= 2 && version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
            assert!(details.kernels.is_some());
        }
    }
}
