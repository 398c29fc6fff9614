//! Server-Sent Events, read line by line: <https://html.spec.whatwg.org/multipage/server-sent-events.html>

/// Bytes of one event at most.
const EVENT_BYTES_MAX: usize = 64 << 20;

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// `message` unless the stream names the event.
    pub(super) name: String,
    pub(super) data: String,
}

/// Parser of a stream; holds the event received so far.
#[derive(Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
    name: String,
    data: Vec<String>,
}

/// An event that exceeds the limit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event has more than {EVENT_BYTES_MAX} bytes")]
pub(super) struct TooLong;

impl Reader {
    /// Appends received bytes and returns the events that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        self.bytes.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut start = 0;
        while let Some(length) = self.bytes[start..].iter().position(|byte| *byte == b'\n') {
            let line = &self.bytes[start..start + length];
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
            start += length + 1;
            let line = line.into_owned();
            events.extend(self.line(&line));
        }
        self.bytes.drain(..start);
        let waiting = self.bytes.len() + self.data.iter().map(String::len).sum::<usize>();
        if waiting > EVENT_BYTES_MAX { Err(TooLong) } else { Ok(events) }
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            let name = if name.is_empty() { "message".to_owned() } else { name };
            return (!data.is_empty()).then(|| Event { name, data: data.join("\n") });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => self.data.push(value.to_owned()),
            // A comment has an empty field name; ids are useless, since this client can't resume a
            // stream.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_any_pieces() {
        let stream = ": hello\n\nevent: attempt\nid: 7\ndata: {\"a\":\ndata: 1}\r\n\r\ndata:x\n\nevent: e\n\n";
        let expected = [
            Event { name: "attempt".to_owned(), data: "{\"a\":\n1}".to_owned() },
            Event { name: "message".to_owned(), data: "x".to_owned() },
        ];
        for length in 1..stream.len() {
            let mut reader = Reader::default();
            let mut events = Vec::new();
            for piece in stream.as_bytes().chunks(length) {
                events.extend(reader.push(piece).unwrap());
            }
            assert_eq!(events, expected, "pieces of {length}");
        }
    }
}
