//! The compiler's process: compiles one upload within limits that the kernel enforces, and ends.
//!
//! A compilation that has begun can't be stopped, and a hostile upload may need hours and all
//! memory. So the server starts its own program again for each upload, with an empty environment.
//! This process lowers its limits before it looks at the upload. It ends with the server: the
//! server holds its standard input open, and the end of that input ends it.

use std::{
    io::{self, Read, Write},
    process::ExitCode,
};

use rlimit::Resource;

use super::message::{Reply, Request, length, read, written};
use super::{STACK_BYTES, machine_code};

/// The word that makes the program a compiler.
pub const COMMAND: &str = "compile-plugin";

/// The `nice` value of the process: all other work goes first.
const NICE: i32 = 10;
/// Seconds between the signal that ends the process at its limit and the one that can't be caught.
const CPU_GRACE_S: u64 = 1;

/// Reads a request and a module from standard input, and writes the reply and the machine code to
/// standard output. Only the server starts the program like this.
#[must_use]
pub fn main() -> ExitCode {
    match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be listening any more.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn answer() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    let mut json = vec![0; length(bytes)?];
    input.read_exact(&mut json)?;
    let request: Request = read(&json)?;
    lower_limits(&request)?;
    let mut module = Vec::new();
    let read = input.take(request.module_bytes).read_to_end(&mut module)?;
    if read as u64 != request.module_bytes {
        return Err(io::Error::other("the module is cut off"));
    }
    end_with_the_server()?;
    let (reply, code) = match compiled(&request, &module) {
        Ok(code) if code.len() as u64 > request.code_bytes_max => (Reply::TooMuchCode, Vec::new()),
        Ok(code) => (Reply::Code { bytes: code.len() as u64 }, code),
        Err(reply) => (reply, Vec::new()),
    };
    let mut output = io::stdout().lock();
    output.write_all(&written(&reply)?)?;
    output.write_all(&code)?;
    output.flush()
}

fn compiled(request: &Request, module: &[u8]) -> Result<Vec<u8>, Reply> {
    let engine = machine_code::engine().map_err(Reply::refused)?;
    if machine_code::version(&engine) != request.version {
        return Err(Reply::OtherVersion);
    }
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(request.threads)
        // The parser recurses into deeply nested uploads, up to its own limits.
        .stack_size(STACK_BYTES)
        .build()
        .map_err(|e| Reply::Failed(e.to_string()))?;
    threads.install(|| machine_code::machine_code(&engine, module)).map_err(Reply::refused)
}

fn lower_limits(request: &Request) -> io::Result<()> {
    if cfg!(target_os = "linux") {
        // When memory runs out, the kernel ends this process and not the server. Some containers
        // don't permit it; the limits below hold there too.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    }
    // The memory of this process holds a tenant's plugin; nothing of it belongs in a file.
    Resource::CORE.set(0, 0)?;
    Resource::FSIZE.set(0, 0)?;
    Resource::CPU.set(request.cpu_s_max, request.cpu_s_max.saturating_add(CPU_GRACE_S))?;
    let memory = Resource::AS.set(request.memory_bytes_max, request.memory_bytes_max);
    // Other systems may not know this limit, or not enforce it.
    if cfg!(target_os = "linux") {
        memory?;
    }
    give_way();
    Ok(())
}

/// Lowers the priority of this process.
fn give_way() {
    #[expect(unsafe_code, reason = "there is no safe call for it without another crate")]
    // SAFETY: the call takes three numbers; 0 is this process. If it fails, nothing changes.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
}

/// Ends this process when its standard input ends, because then the server is gone or has given up.
/// A signal at the parent's death would come too early: Linux sends it when the thread ends that
/// started the process.
fn end_with_the_server() -> io::Result<()> {
    let wait = || {
        let mut nothing = [0];
        while io::stdin().read(&mut nothing).is_ok_and(|bytes| bytes > 0) {}
        std::process::exit(1);
    };
    std::thread::Builder::new().name("server-watch".into()).spawn(wait).map(drop)
}
