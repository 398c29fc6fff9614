//! The commands of README.md, and of pages that ask for it, run as written.
//!
//! A block that begins with ```` ```sh test ```` is run, all such blocks together as one script in
//! an empty folder, with `antar` in the path. Ports of the text are replaced by free ones, so that
//! a running server is no obstacle.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use antar_harness::{binary, root};
use tokio::process::Command;

/// How long all commands together may take.
const RUN_MAX: Duration = Duration::from_secs(120);

/// Ports that the pages name.
const PORTS: &[&str] = &["8090", "8099"];

#[tokio::test]
async fn the_readme_runs_as_written() {
    runs_as_written("README.md").await;
}

/// Runs the blocks of a page, given by its path from the root.
pub(crate) async fn runs_as_written(page: &str) {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let blocks = blocks(&text);
    assert!(!blocks.is_empty(), "{page} has no block that begins with ```sh test");
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
    let log = folder.path().join("said");
    let out = std::fs::File::create(&log).unwrap();
    let mut child = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        // A group of its own, to be ended as one when a loop in it waits in vain.
        .process_group(0)
        .spawn()
        .unwrap();
    let group = format!("-{}", child.id().unwrap());
    let ended = tokio::time::timeout(RUN_MAX, child.wait()).await;
    // What was left in the background, and the script itself where it did not end.
    let kill =
        Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status().await;
    kill.unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(ended.is_ok_and(|status| status.unwrap().success()), "{said}");
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
