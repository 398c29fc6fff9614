//! A connection whose answer is read little by little, or not at all.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::DEADLINE;

/// Bytes that the system takes for a caller that does not read. Small, so that the server notices soon.
const RECEIVE_BYTES: u32 = 16 << 10;

/// A GET that was sent.
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn get(base: &str, path: &str, key: &str) -> Connection {
        let address = base.trim_start_matches("http://");
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(RECEIVE_BYTES).unwrap();
        let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        Connection { stream, read: Vec::new() }
    }

    /// Reads until what was read contains `text`.
    pub async fn until(&mut self, text: &str) -> &mut Connection {
        let reading = async {
            let mut from = 0;
            while !String::from_utf8_lossy(&self.read[from..]).contains(text) {
                from = self.read.len().saturating_sub(text.len());
                let count = self.stream.read_buf(&mut self.read).await.unwrap_or_default();
                assert!(count > 0, "the answer ended without {text:?}: {}", self.text());
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, reading).await.is_ok();
        assert!(in_time, "no {text:?} in time: {}", self.text());
        self
    }

    /// Reads until the server ends the connection, and returns all that was read. Panics if it goes on.
    pub async fn to_end(mut self) -> String {
        let reading = async {
            // Closed with a reset, it has ended as well.
            while self.stream.read_buf(&mut self.read).await.unwrap_or_default() > 0 {}
        };
        let in_time = tokio::time::timeout(DEADLINE, reading).await.is_ok();
        assert!(in_time, "the answer goes on: {}", self.text());
        self.text()
    }

    /// What was read so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }
}
