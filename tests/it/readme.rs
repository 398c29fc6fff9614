//! The commands of README.md run as written.
//!
//! A block that begins with ```` ```sh test ```` is run, all such blocks together as one script in
//! an empty folder, with `antar` in the path. Ports of the text are replaced by free ones, so that
//! a running server is no obstacle.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use antar_harness::{binary, root};

/// Ports that the README names.
const PORTS: &[&str] = &["8090", "8099"];

#[test]
fn the_readme_runs_as_written() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = blocks(&readme);
    assert!(!blocks.is_empty(), "README.md has no block that begins with ```sh test");
    let script =
        PORTS.iter().fold(blocks.join("\n"), |script, port| script.replace(port, &free_port()));
    let folder = tempfile::tempdir().unwrap();
    for name in ["examples", "plugins", "docs"] {
        std::os::unix::fs::symlink(root().join(name), folder.path().join(name)).unwrap();
    }
    let path =
        format!("{}:{}", binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let script =
        format!("set -euxo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}");
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .stdin(Stdio::null())
        // A group of its own, so that nothing it started in the background outlives it unseen.
        .process_group(0)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_readme_names_the_two_commands() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for command in ["cargo xtask demo", "cargo xtask test"] {
        assert!(readme.contains(command), "{command}");
    }
}

/// The contents of the blocks that are to be run, in order.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("```sh test") {
            let block: Vec<_> =
                lines.by_ref().take_while(|line| !line.trim_start().starts_with("```")).collect();
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}
