//! A raw connection to the server: what is sent stands in the test byte for byte, and may stop anywhere.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::DEADLINE;

pub struct Wire {
    stream: TcpStream,
    /// Bytes that were read and belong to no answer yet.
    rest: Vec<u8>,
}

/// An answer as it came, with the body that `content-length` announced.
#[derive(Debug)]
pub struct WireAnswer {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl WireAnswer {
    /// The status and the `code` of the problem.
    #[track_caller]
    pub fn problem(&self) -> (u16, String) {
        let problem: Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"));
        (self.status, problem["code"].as_str().unwrap_or_default().to_owned())
    }
}

impl Wire {
    /// Connects to `http://ADDRESS:PORT`.
    pub async fn open(base: &str) -> Wire {
        let address: SocketAddr = base.trim_start_matches("http://").parse().unwrap();
        Wire { stream: TcpStream::connect(address).await.unwrap(), rest: Vec::new() }
    }

    /// Sends bytes; false if the server has closed the connection.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// The next answer. Panics if the connection ends before it.
    pub async fn answer(&mut self) -> WireAnswer {
        self.try_answer().await.expect("the server closed the connection without an answer")
    }

    /// The next answer; none if the connection ends before it.
    pub async fn try_answer(&mut self) -> Option<WireAnswer> {
        loop {
            if let Some((answer, end)) = parse(&self.rest) {
                self.rest.drain(..end);
                return Some(answer);
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    /// Waits until the server closes the connection, and returns what else it sent.
    pub async fn end(mut self) -> Vec<u8> {
        while self.read_more().await {}
        self.rest
    }

    /// Says that nothing more will be sent, and returns what else the server sends.
    pub async fn finish(mut self) -> Vec<u8> {
        // It may be closed already.
        let _ = self.stream.shutdown().await;
        self.end().await
    }

    async fn read_more(&mut self) -> bool {
        let read = tokio::time::timeout(DEADLINE, self.stream.read_buf(&mut self.rest)).await;
        read.expect("the server neither answers nor closes the connection").is_ok_and(|n| n > 0)
    }
}

/// An answer at the beginning of `bytes`, and where it ends.
fn parse(bytes: &[u8]) -> Option<(WireAnswer, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    let body = bytes.get(end..end + length)?.to_vec();
    Some((WireAnswer { status, head, body }, end + length))
}
