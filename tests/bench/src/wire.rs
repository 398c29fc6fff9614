//! HTTP/1.1 with as little work as possible, so that what is measured is the server.

use anyhow::{Context, bail};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection and what was read from it too early.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

/// A request or an answer: its first line and headers, and its body.
pub(crate) struct Message {
    pub(crate) head: BytesMut,
    pub(crate) body: BytesMut,
}

impl Message {
    /// The status of an answer.
    pub(crate) fn status(&self) -> anyhow::Result<u16> {
        let text = self.head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        text.and_then(|digits| digits.parse().ok()).context("the answer has no status")
    }
}

impl Wire {
    pub(crate) async fn connect(address: &str) -> anyhow::Result<Wire> {
        let stream = TcpStream::connect(address).await.with_context(|| address.to_owned())?;
        Ok(Wire::new(stream)?)
    }

    pub(crate) fn new(stream: TcpStream) -> std::io::Result<Wire> {
        stream.set_nodelay(true)?;
        Ok(Wire { stream, buffer: BytesMut::with_capacity(4 << 10) })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next message; none when the other side closed.
    pub(crate) async fn read(&mut self) -> anyhow::Result<Option<Message>> {
        let (head_bytes, body_bytes) = loop {
            if let Some(lengths) = lengths(&self.buffer)? {
                break lengths;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        };
        while self.buffer.len() < head_bytes + body_bytes {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
        let head = self.buffer.split_to(head_bytes);
        let body = self.buffer.split_to(body_bytes);
        self.buffer.advance(0);
        Ok(Some(Message { head, body }))
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Message> {
        self.send(request).await?;
        self.read().await?.context("the server closed the connection")
    }
}

/// Bytes of the head with its empty line, and of the body; none while the head is not complete.
fn lengths(buffer: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let first_line = buffer.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let httparse::Status::Complete((_, headers)) =
        httparse::parse_headers(&buffer[first_line..end + 4], &mut headers)?
    else {
        bail!("a head that does not end")
    };
    let length = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = match length {
        Some(header) => std::str::from_utf8(header.value)?.parse()?,
        None => 0,
    };
    Ok(Some((end + 4, length)))
}

/// A POST of JSON, ready to be sent.
pub(crate) fn post(path: &str, key: Option<&str>, body: &str) -> Vec<u8> {
    let key = key.map_or(String::new(), |key| format!("authorization: Bearer {key}\r\n"));
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{key}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Any request with a body, ready to be sent.
pub(crate) fn request(
    method: &str,
    path: &str,
    key: Option<&str>,
    content_type: &str,
    body: &[u8],
) -> Vec<u8> {
    let key = key.map_or(String::new(), |key| format!("authorization: Bearer {key}\r\n"));
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: {content_type}\r\n{key}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
