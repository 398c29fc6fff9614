//! `cargo xtask growth`: no parser's work grows faster than its input.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::command::{TESTED, cargo, must, target};
use crate::screen::Screen;

/// Count the work of every parser for inputs of 1, 4 and 16 times a size.
///
/// Nothing is timed. The repository's crates are compiled so that they count how often each region of code runs, as
/// coverage tools do, and an allocator counts what libraries take. Work that grows faster than the input, by more
/// than a logarithm, is an error. The build lies beside the others and takes a minute or two the first time.
#[derive(Default, clap::Args)]
pub(crate) struct Arguments {
    /// Only parts whose name contains this
    #[arg(default_value = "")]
    only: String,
}

/// Set for the compiler of this build, which is this program: see [`as_compiler`].
const COUNTING: &str = "ANTAR_COUNTED_BUILD";
/// Where the runtime of the counters writes a profile when a process ends: nobody reads it.
const PROFILE: (&str, &str) = ("LLVM_PROFILE_FILE", "/dev/null");

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = crate::root();
    Screen::new().heading("antar-fuzz growth, compiled to count");
    let mut command = cargo(&root);
    command.args(["build", "--locked"]).args(TESTED.names).args(["--bin", "antar-fuzz"]);
    // Cargo keeps what this compiler makes of the repository's own crates apart from other builds.
    command.env("RUSTC_WORKSPACE_WRAPPER", std::env::current_exe()?).env(COUNTING, "1");
    must(command.env(PROFILE.0, PROFILE.1))?;
    let mut command = Command::new(target(&root).join(TESTED.folder).join("antar-fuzz"));
    must(command.args(["growth", &arguments.only]).env(PROFILE.0, PROFILE.1))
}

/// Whether cargo started this program as a compiler: then compiles, with counters in what runs later.
pub(crate) fn as_compiler() -> Option<ExitCode> {
    std::env::var_os(COUNTING)?;
    let mut words = std::env::args_os().skip(1);
    let mut command = Command::new(words.next()?);
    let words: Vec<OsString> = words.collect();
    let says = |part: &str| words.iter().any(|word| word.to_string_lossy().contains(part));
    // Build scripts and macros run while others are compiled.
    if says("--crate-name") && !says("build_script_") && !says("proc-macro") {
        command.args(["-Cinstrument-coverage", "--cfg=counted"]);
    }
    let status = command.args(words).status().ok()?;
    Some(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
