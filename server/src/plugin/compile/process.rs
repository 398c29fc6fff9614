//! Compiles an upload in a process of its own, which can be ended at any time.

use std::{
    io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::super::UploadError;
use super::super::inspection::quote::cut;
use super::child::COMMAND;
use super::message::{Reply, Request, length, read, written};

/// Memory that the allocator asks for at once. Its usual 1 GiB would be most of the address space
/// that the process may have.
const ALLOCATOR: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "64MiB");
/// What the process says when it fails is cut after this.
const WORDS_BYTES_MAX: u64 = 16 << 10;
const REASON_CHARS_MAX: usize = 500;

/// The reply and the code behind it.
type Heard = io::Result<(Reply, Vec<u8>)>;

/// Machine code of `module`, from a new process of `program`. When this returns, or is dropped,
/// the process is gone.
pub(super) async fn compiled(
    program: &Path,
    request: &Request,
    module: &[u8],
    limit_ms: u64,
) -> Result<Vec<u8>, UploadError> {
    let mut child = start(program).map_err(|e| {
        UploadError::Internal(format!("{} can't be started: {e}", program.display()))
    })?;
    let limit = Duration::from_millis(limit_ms);
    match tokio::time::timeout(limit, converse(&mut child, request, module)).await {
        Ok((heard, status, words)) => outcome(heard, status, &words, request),
        Err(_) => {
            // Its place in the queue is given to the next upload only once it is gone.
            let _ = child.kill().await;
            Err(UploadError::TooSlow { limit_ms })
        }
    }
}

fn start(program: &Path) -> io::Result<Child> {
    let mut command = Command::new(program);
    // Neither the server's secrets nor its signals from a terminal.
    command.arg(COMMAND).env_clear().env(ALLOCATOR.0, ALLOCATOR.1).process_group(0);
    command.current_dir("/").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn()
}

async fn converse(
    child: &mut Child,
    request: &Request,
    module: &[u8],
) -> (Heard, io::Result<ExitStatus>, String) {
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let sending = async {
        let mut input = input?;
        // If the process ends early, its status says why.
        let _ = send(&mut input, request, module).await;
        // The process ends when its input does, so the input is kept open.
        Some(input)
    };
    let hearing = async {
        let output = output.ok_or_else(|| io::Error::other("it has no output"))?;
        hear(output, request.code_bytes_max).await
    };
    let complaining = async {
        let mut words = Vec::new();
        if let Some(errors) = errors {
            let _ = errors.take(WORDS_BYTES_MAX).read_to_end(&mut words).await;
        }
        String::from_utf8_lossy(&words).into_owned()
    };
    let (_input, heard, words) = tokio::join!(sending, hearing, complaining);
    (heard, child.wait().await, words)
}

async fn send(
    input: &mut (impl AsyncWrite + Unpin),
    request: &Request,
    module: &[u8],
) -> io::Result<()> {
    input.write_all(&written(request)?).await?;
    input.write_all(module).await?;
    input.flush().await
}

async fn hear(mut output: impl AsyncRead + Unpin, code_bytes_max: u64) -> Heard {
    let mut bytes = [0; 4];
    output.read_exact(&mut bytes).await?;
    let mut json = vec![0; length(bytes)?];
    output.read_exact(&mut json).await?;
    let reply: Reply = read(&json)?;
    let mut code = Vec::new();
    if let Reply::Code { bytes } = reply
        && bytes <= code_bytes_max
    {
        output.take(bytes).read_to_end(&mut code).await?;
    }
    Ok((reply, code))
}

/// Decides by the reply or, without one, by how the process ended.
fn outcome(
    heard: Heard,
    status: io::Result<ExitStatus>,
    words: &str,
    request: &Request,
) -> Result<Vec<u8>, UploadError> {
    let status = status.map_err(|e| UploadError::Internal(e.to_string()))?;
    if let (true, Ok((reply, code))) = (status.success(), heard) {
        let bytes = reply.code_bytes(request.code_bytes_max)?;
        if code.len() as u64 == bytes {
            return Ok(code);
        }
        return Err(UploadError::Internal("the compiler's code is cut off".into()));
    }
    let (limit_s, limit_bytes) = (request.cpu_s_max, request.memory_bytes_max);
    Err(match status.signal() {
        Some(libc::SIGXCPU) => UploadError::TooMuchCpu { limit_s },
        // The words of Rust's standard library.
        Some(libc::SIGABRT) if words.contains("memory allocation of") => {
            UploadError::TooMuchMemory { limit_bytes }
        }
        Some(signal) => crashed(&format!("signal {signal}"), words),
        None => crashed(&status.to_string(), words),
    })
}

fn crashed(how: &str, words: &str) -> UploadError {
    tracing::error!(how, words, "the compiler of plugins crashed");
    UploadError::Crashed(format!("{how} {}", cut(words.trim(), REASON_CHARS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            version: String::new(),
            module_bytes: 4,
            cpu_s_max: 7,
            memory_bytes_max: 1 << 20,
            code_bytes_max: 100,
            threads: 1,
        }
    }

    /// How an upload ends whose compiler is a shell that runs this.
    async fn of_script(script: &str, limit_ms: u64) -> Result<Vec<u8>, UploadError> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("compiler");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        loop {
            match compiled(&program, &request(), b"\0asm", limit_ms).await {
                // Another test's process has inherited the open script, until it runs its program.
                Err(UploadError::Internal(why)) if why.contains("Text file busy") => {}
                ended => return ended,
            }
        }
    }

    #[tokio::test]
    async fn the_end_of_the_process_says_what_was_exceeded() {
        let ended = async |script: &str| of_script(script, 60_000).await.unwrap_err();
        let cpu = ended("kill -XCPU $$").await;
        assert!(matches!(cpu, UploadError::TooMuchCpu { limit_s: 7 }), "{cpu}");
        let memory = ended("echo memory allocation of 9 bytes failed >&2; kill -ABRT $$").await;
        assert!(
            matches!(memory, UploadError::TooMuchMemory { limit_bytes: 1_048_576 }),
            "{memory}"
        );
        let crashed = ended("echo it hurts >&2; kill -SEGV $$").await;
        assert!(matches!(&crashed, UploadError::Crashed(why) if why == "signal 11 it hurts"));
        let failed = ended("exit 3").await;
        assert!(matches!(&failed, UploadError::Crashed(why) if why.contains("3")), "{failed}");
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended() {
        let slow = of_script("exec sleep 1000", 100).await.unwrap_err();
        assert!(matches!(slow, UploadError::TooSlow { limit_ms: 100 }), "{slow}");
    }

    #[tokio::test]
    async fn the_server_gets_no_more_code_than_was_announced_and_allowed() {
        let says = |head: &str, code: &str| {
            let length = char::from(u8::try_from(head.len()).unwrap());
            format!(
                "printf '%b%s%s' '\\0{:03o}\\0000\\0000\\0000' '{head}' '{code}'",
                u32::from(length)
            )
        };
        let head = r#"{"Code":{"bytes":4}}"#;
        assert_eq!(of_script(&says(head, "code"), 60_000).await.unwrap(), b"code");
        assert_eq!(of_script(&says(head, "codecode"), 60_000).await.unwrap(), b"code");
        let short = of_script(&says(head, "cod"), 60_000).await.unwrap_err();
        assert!(matches!(&short, UploadError::Internal(why) if why.contains("cut off")), "{short}");
        let long = says(r#"{"Code":{"bytes":101}}"#, "code");
        let long = of_script(&long, 60_000).await.unwrap_err();
        assert!(matches!(long, UploadError::TooMuchCode { limit_bytes: 100 }), "{long}");
        // Code of a compiler that failed afterwards is not used.
        let failed = of_script(&format!("{}; exit 1", says(head, "code")), 60_000).await;
        assert!(matches!(failed, Err(UploadError::Crashed(_))));
    }

    #[tokio::test]
    async fn the_process_sees_nothing_of_the_servers_environment() {
        let script =
            r#"env | grep -v -e ^MIMALLOC -e ^PWD -e ^SHLVL -e ^_= -e ^OLDPWD >&2; exit 9"#;
        let seen = of_script(script, 60_000).await.unwrap_err().to_string();
        assert!(!seen.contains("HOME") && !seen.contains("PATH="), "{seen}");
    }
}
