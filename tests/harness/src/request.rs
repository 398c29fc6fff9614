//! A request, read from the wire without a library that would normalise it.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Largest head and body a test receiver reads.
const HEAD_BYTES_MAX: usize = 256 << 10;
const BODY_BYTES_MAX: usize = 256 << 20;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// In order, names and values as sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header, by case-insensitive name. Panics if it was sent twice.
    #[must_use]
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(sent, _)| sent.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} was sent twice: {:?}", self.headers);
        value
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is UTF-8")
    }

    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.text()))
    }

    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Reads the next request of a connection; `buffer` holds bytes read beyond it. None when the
    /// sender closed the connection, even in the middle of a request.
    pub(crate) async fn read(
        stream: &mut (impl AsyncRead + Unpin),
        buffer: &mut Vec<u8>,
    ) -> Option<Request> {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(buffer.len() < HEAD_BYTES_MAX, "a head of more than {HEAD_BYTES_MAX} bytes");
            more(stream, buffer).await?;
        };
        let mut request = Request::head(&buffer[..end]);
        buffer.drain(..end);
        assert!(
            request.header("transfer-encoding").is_none(),
            "deliveries carry Content-Length: {request:?}"
        );
        let length: usize =
            request.header("content-length").map_or(0, |text| text.parse().unwrap());
        assert!(length <= BODY_BYTES_MAX, "a body of {length} bytes");
        while buffer.len() < length {
            more(stream, buffer).await?;
        }
        request.body = buffer.drain(..length).collect();
        Some(request)
    }

    fn head(bytes: &[u8]) -> Request {
        let mut room = [httparse::EMPTY_HEADER; 128];
        let mut parsed = httparse::Request::new(&mut room);
        parsed.parse(bytes).expect("a well-formed request");
        let header = |header: &httparse::Header<'_>| {
            let value = String::from_utf8(header.value.to_vec()).expect("header values are UTF-8");
            (header.name.to_owned(), value)
        };
        Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: parsed.path.unwrap_or_default().to_owned(),
            headers: parsed.headers.iter().map(header).collect(),
            body: Vec::new(),
        }
    }
}

async fn more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 16 << 10];
    let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
    buffer.extend_from_slice(&chunk[..count]);
    Some(())
}
