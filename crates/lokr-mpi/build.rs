//! With the feature `mpi`, says at once which packages are missing, before the bindings fail for want of them.

use std::path::PathBuf;
use std::process::exit;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for variable in ["MPICC", "PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    // On Windows the bindings look for MS-MPI instead.
    let is_needed = std::env::var_os("CARGO_FEATURE_MPI").is_some() && !cfg!(windows);
    if !is_needed || std::env::var_os("MPICC").is_some() || is_on_path("mpicc") {
        return;
    }
    println!("cargo::error=the feature `mpi` needs an MPI library, and there is no mpicc on the PATH");
    println!("cargo::error=on Debian and Ubuntu: apt-get install libopenmpi-dev openmpi-bin libclang-dev");
    println!("cargo::error=on Fedora: dnf install openmpi-devel clang-devel; on macOS: brew install open-mpi llvm");
    println!("cargo::error=on a cluster: load its MPI module, or set MPICC to its compiler wrapper");
    exit(1);
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory: PathBuf| directory.join(program).is_file())
}
