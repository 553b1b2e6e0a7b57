//! The program `lokr-mpi`: `lokr merge` and `lokr extract` on all ranks of a job.
//!
//! `mpirun -n 4 lokr-mpi merge …` takes the arguments of `lokr merge`.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

use lokr_checkpoint::Overwrite;
use lokr_layers::Communicator;
use lokr_mpi::{World, in_parts};

fn main() -> ExitCode {
    lokr_mpi::run(work)
}

fn work(world: &World) -> Result<(), String> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let is_first = world.rank() == 0;
    let Some((out, force)) = lokr_cli::output_of(arguments.clone()) else {
        // What is wrong with them, or their help, is said once.
        let code = if is_first { lokr_cli::run(arguments) } else { 0 };
        return if code == 0 {
            Ok(())
        } else {
            Err("lokr-mpi takes the commands merge and extract of lokr".to_owned())
        };
    };
    if !is_first {
        arguments.push("--quiet".into());
    }
    let overwrite = if force { Overwrite::Replace } else { Overwrite::Refuse };
    let job = |part: lokr_checkpoint::Part| {
        arguments.extend(["--shard".into(), part.to_string().into()]);
        match lokr_cli::run(arguments) {
            0 => Ok(()),
            code => Err(format!("lokr ended with the exit code {code}")),
        }
    };
    let (_, joined) = in_parts(world, &out, overwrite, job).map_err(|error| error.to_string())?;
    if let Some(joined) = joined {
        println!("{} parts joined to {}", joined.parts, out.display());
    }
    Ok(())
}
