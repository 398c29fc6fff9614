//! Minimal HTTP/1.1 for receiving webhooks: requests exactly as sent on the wire.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

const HEAD_BYTES_MAX: usize = 64 << 10;
const BODY_BYTES_MAX: usize = 1 << 20;
const HEADERS_MAX: usize = 128;
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(120);

/// A connection from a sender.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes read that are not yet part of a request.
    buffer: Vec<u8>,
}

/// A request as it was sent.
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Result<Connection> {
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::new() })
    }

    /// Reads the next request; none if the sender has closed the connection.
    pub(crate) fn next(&mut self) -> Result<Option<Request>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                bail!("a request's head of more than {HEAD_BYTES_MAX} bytes");
            }
            if self.read_more()? == 0 {
                return Ok(None);
            }
        };
        let mut request = Request::parse(&self.buffer[..end])?;
        self.buffer.drain(..end);
        let length = request.content_length()?;
        while self.buffer.len() < length {
            if self.read_more()? == 0 {
                bail!("the sender went away in the middle of a body");
            }
        }
        request.body = self.buffer.drain(..length).collect();
        Ok(Some(request))
    }

    pub(crate) fn answer(&mut self, status: u16) -> Result<()> {
        let text = format!("HTTP/1.1 {status} Answer\r\ncontent-length: 2\r\n\r\nok");
        Ok(self.stream.write_all(text.as_bytes())?)
    }

    fn read_more(&mut self) -> Result<usize> {
        let mut chunk = [0; 16 << 10];
        let count = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count)
    }
}

impl Request {
    fn parse(head: &[u8]) -> Result<Request> {
        let mut room = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut room);
        parsed.parse(head)?;
        let header = |header: &httparse::Header<'_>| {
            (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned())
        };
        Ok(Request {
            method: parsed.method.context("no method")?.to_owned(),
            path: parsed.path.context("no path")?.to_owned(),
            headers: parsed.headers.iter().map(header).collect(),
            body: Vec::new(),
        })
    }

    fn content_length(&self) -> Result<usize> {
        let found =
            self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = found.map_or(Ok(0), |(_, value)| value.parse())?;
        if length > BODY_BYTES_MAX {
            bail!("a body of {length} bytes");
        }
        Ok(length)
    }
}
