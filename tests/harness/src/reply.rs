//! What a receiver answers.

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
    /// Sends the head and the body, promises more, and says nothing further.
    Stall,
    /// Sends headers without end.
    EndlessHead,
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

    /// Takes the request and says nothing for as long as the test runs.
    #[must_use]
    pub fn hang() -> Reply {
        Reply { kind: Kind::Hang, ..Reply::ok() }
    }

    /// Takes the request and closes the connection.
    #[must_use]
    pub fn close() -> Reply {
        Reply { kind: Kind::Close, ..Reply::ok() }
    }

    /// Sends head and body, but has promised a longer one.
    #[must_use]
    pub fn stalling(mut self) -> Reply {
        self.kind = Kind::Stall;
        self
    }

    /// Sends headers until nobody reads them any more.
    #[must_use]
    pub fn endless_head() -> Reply {
        Reply { kind: Kind::EndlessHead, ..Reply::ok() }
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

    /// Answers that much later: a slow receiver.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Reply {
        self.delay = delay;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let promised = self.body.len() + if self.kind == Kind::Stall { 1_000 } else { 0 };
        let mut head = format!("HTTP/1.1 {} Reply\r\ncontent-length: {promised}\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}
