//! Answers of a receiver.

use std::time::Duration;

/// An answer, or the lack of one.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) delay: Duration,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Answer,
    /// Reads the request and never answers.
    Hang,
    /// Closes the connection without an answer.
    Close,
    /// Sends the head and the body, announces a longer one, and sends nothing further.
    Stall,
    /// Sends headers without end.
    EndlessHead,
    /// Sends a part of the body, then resets the connection.
    Reset,
    /// Sends the head, then one byte at a time without end, with this pause before each.
    Trickle(Duration),
    /// Announces a body of this many bytes and sends them.
    Flood(u64),
    /// Sends the first once and the second without end.
    Repeat(&'static [u8], &'static [u8]),
}

impl Reply {
    #[must_use]
    pub fn status(status: u16) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            body: b"ok".to_vec(),
            delay: Duration::ZERO,
            kind: Kind::Answer,
        }
    }

    /// 200.
    #[must_use]
    pub fn ok() -> Reply {
        Reply::status(200)
    }

    /// Reads the request and sends nothing for as long as the test runs.
    #[must_use]
    pub fn hang() -> Reply {
        Reply { kind: Kind::Hang, ..Reply::ok() }
    }

    /// Reads the request and closes the connection.
    #[must_use]
    pub fn close() -> Reply {
        Reply { kind: Kind::Close, ..Reply::ok() }
    }

    /// Sends head and body, but announces a longer one.
    #[must_use]
    pub fn stalling(mut self) -> Reply {
        self.kind = Kind::Stall;
        self
    }

    /// Sends headers until the other side closes the connection.
    #[must_use]
    pub fn endless_head() -> Reply {
        Reply { kind: Kind::EndlessHead, ..Reply::ok() }
    }

    /// Sends `first`, then `again` until the other side closes the connection.
    #[must_use]
    pub fn repeating(first: &'static [u8], again: &'static [u8]) -> Reply {
        Reply { kind: Kind::Repeat(first, again), ..Reply::ok() }
    }

    /// Resets the connection in the middle of the body.
    #[must_use]
    pub fn reset_midway(mut self) -> Reply {
        self.kind = Kind::Reset;
        self
    }

    /// Sends its body byte by byte without end.
    #[must_use]
    pub fn trickling(mut self, pause: Duration) -> Reply {
        self.kind = Kind::Trickle(pause);
        self
    }

    /// Sends a body of this length.
    #[must_use]
    pub fn flooding(mut self, bytes: u64) -> Reply {
        self.kind = Kind::Flood(bytes);
        self
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Reply {
        self.body = body.into();
        self
    }

    /// Delays the answer, like a slow receiver.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Reply {
        self.delay = delay;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.head(), self.body.as_slice()].concat()
    }

    pub(crate) fn head(&self) -> Vec<u8> {
        const MORE: u64 = 1_000_000;
        let promised = match self.kind {
            Kind::Stall | Kind::Reset | Kind::Trickle(_) => self.body.len() as u64 + MORE,
            Kind::Flood(bytes) => bytes,
            _ => self.body.len() as u64,
        };
        let mut head = format!("HTTP/1.1 {} Reply\r\ncontent-length: {promised}\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}
