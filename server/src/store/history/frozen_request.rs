//! Frozen requests in stored form. The body nearly always contains the event's data as posted; it is cut out,
//! because the event's own row has it. What is left of a long body is compressed, beside the request.

use std::sync::Arc;

use antar_template::Piece;
use serde::{Deserialize, Serialize};

use super::packed_text::{PACK_BYTES_MIN, pack, unpack};
use crate::model::{Event, Frozen};
use crate::store::db::columns::{from_json, json_text};
use crate::store::db::error::StoreError;

/// Shorter data takes less space than the record that it is cut out.
const DATA_BYTES_MIN: usize = 48;
/// Length of the start of the data by which it is searched for.
const HEAD_BYTES: usize = 32;

/// The request of a delivery, without the data of its event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrozenRequest {
    #[serde(flatten)]
    request: Frozen,
    /// None: the body does not contain the data as posted, or the data is short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_at: Option<DataAt>,
    /// Lengths of the body's texts, if these are in a column of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packed: Option<Vec<usize>>,
    /// The delivery's event, if the body is to be compressed.
    #[serde(skip)]
    event: Option<Arc<Event>>,
}

/// A frozen request as its columns have it.
pub(crate) struct Columns {
    pub(crate) request: String,
    /// The texts of a long body, compressed.
    pub(crate) body: Option<Arc<[u8]>>,
}

/// A frozen request as it was read.
#[derive(Clone, Debug)]
pub struct StoredRequest {
    request: FrozenRequest,
    body: Option<Vec<u8>>,
}

/// More than this is compressed and decompressed on a thread for work that takes long.
pub(crate) const AT_ONCE_BYTES_MAX: usize = 128 << 10;

/// The position from which the data was cut out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct DataAt {
    /// Index in the body, from 0.
    piece: usize,
    /// Offset in the piece.
    byte: usize,
}

impl FrozenRequest {
    /// `event` is the delivery's event.
    #[must_use]
    pub fn new(mut request: Frozen, event: &Arc<Event>) -> FrozenRequest {
        let data = event.data().raw();
        let body = request.body.as_deref_mut().unwrap_or_default();
        let mut pieces = body.iter_mut().enumerate();
        let data_at = pieces.find_map(|(piece, text)| match text {
            Piece::Text(text) => cut(text, data).map(|byte| DataAt { piece, byte }),
            Piece::Secret { .. } => None,
        });
        let long = texts(body).map(str::len).sum::<usize>() >= PACK_BYTES_MIN;
        let event = long.then(|| Arc::clone(event));
        FrozenRequest { request, data_at, packed: None, event }
    }

    /// Bytes that are to be compressed.
    pub(crate) fn long_bytes(&self) -> usize {
        let body = self.request.body.as_deref().filter(|_| self.event.is_some());
        texts(body.unwrap_or_default()).map(str::len).sum()
    }

    pub(crate) fn columns(&self) -> Result<Columns, StoreError> {
        let (Some(event), Some(body)) = (&self.event, &self.request.body) else {
            return Ok(Columns { request: json_text(self)?, body: None });
        };
        let (mut all, mut lengths) = (String::with_capacity(self.long_bytes()), Vec::new());
        for text in texts(body) {
            all.push_str(text);
            lengths.push(text.len());
        }
        let emptied = |piece: &Piece| match piece {
            Piece::Text(_) => Piece::Text(String::new()),
            Piece::Secret { .. } => piece.clone(),
        };
        let Frozen { revision, method, url, headers, unresolved, .. } = &self.request;
        let request = FrozenRequest {
            request: Frozen {
                revision: *revision,
                method: *method,
                url: url.clone(),
                headers: headers.clone(),
                body: Some(body.iter().map(emptied).collect()),
                unresolved: unresolved.clone(),
            },
            data_at: self.data_at,
            packed: Some(lengths),
            event: None,
        };
        let body = pack(&all, event.data().raw())?;
        Ok(Columns { request: json_text(&request)?, body: Some(body) })
    }
}

impl StoredRequest {
    pub(crate) fn read(request: &str, body: Option<Vec<u8>>) -> Result<StoredRequest, StoreError> {
        Ok(StoredRequest { request: from_json(request)?, body })
    }

    /// Bytes of its texts as they are stored.
    pub(crate) fn bytes(&self) -> usize {
        let Frozen { url, headers, body, .. } = &self.request.request;
        let values = headers.iter().flat_map(|header| &header.value);
        let pieces = url.iter().chain(values).chain(body.iter().flatten());
        let texts = pieces.map(|piece| match piece {
            Piece::Text(text) | Piece::Secret { name: text, .. } => text.len(),
        });
        texts.sum::<usize>() + self.body.as_ref().map_or(0, Vec::len)
    }

    /// Bytes of the complete request of a delivery of this event.
    pub(crate) fn bytes_of_event(&self, event: &Event) -> usize {
        let data = self.request.data_at.map_or(0, |_| event.data().raw().len());
        self.bytes() + self.unpacked_bytes() + data
    }

    fn unpacked_bytes(&self) -> usize {
        self.request.packed.iter().flatten().sum()
    }

    /// Revision of the webhook that the request was made from.
    #[must_use]
    pub fn revision(&self) -> u32 {
        self.request.request.revision
    }

    /// The complete request of a delivery of this event.
    ///
    /// # Errors
    /// `Corrupt`.
    pub async fn of_event(&self, event: &Arc<Event>) -> Result<Frozen, StoreError> {
        let (stored, event) = (self.clone(), Arc::clone(event));
        if self.unpacked_bytes() <= AT_ONCE_BYTES_MAX {
            return stored.whole(Some(event.data().raw()));
        }
        let whole = tokio::task::spawn_blocking(move || stored.whole(Some(event.data().raw())));
        whole.await.map_err(StoreError::unavailable)?
    }

    /// The complete request. If the event's data is no longer stored, and a part of the body with it, there is no
    /// body either.
    pub(crate) fn whole(self, data: Option<&str>) -> Result<Frozen, StoreError> {
        let FrozenRequest { mut request, data_at, packed, .. } = self.request;
        if data_at.is_none() && packed.is_none() {
            return Ok(request);
        }
        let Some(data) = data else { return Ok(Frozen { body: None, ..request }) };
        let pieces = request.body.as_deref_mut().unwrap_or_default();
        if let Some(lengths) = packed {
            let all = unpack(self.body.as_deref().unwrap_or_default(), data)?;
            fill(pieces, &all, &lengths).ok_or_else(mismatch)?;
        }
        if let Some(DataAt { piece, byte }) = data_at {
            match pieces.get_mut(piece) {
                Some(Piece::Text(text)) if text.is_char_boundary(byte) => {
                    text.insert_str(byte, data);
                }
                _ => request.body = None,
            }
        }
        Ok(request)
    }
}

fn mismatch() -> StoreError {
    StoreError::Corrupt("a frozen body does not have the lengths that were noted".to_owned())
}

fn texts(pieces: &[Piece]) -> impl Iterator<Item = &str> {
    pieces.iter().filter_map(|piece| match piece {
        Piece::Text(text) => Some(text.as_str()),
        Piece::Secret { .. } => None,
    })
}

/// Puts the texts back into their pieces; none if they don't have these lengths.
fn fill(pieces: &mut [Piece], mut all: &str, lengths: &[usize]) -> Option<()> {
    let mut lengths = lengths.iter();
    for piece in pieces {
        if let Piece::Text(text) = piece {
            let (own, rest) = all.split_at_checked(*lengths.next()?)?;
            own.clone_into(text);
            all = rest;
        }
    }
    all.is_empty().then_some(())
}

/// Cuts the data out of a text and returns its position.
fn cut(text: &mut String, data: &str) -> Option<usize> {
    if data.len() < DATA_BYTES_MIN {
        return None;
    }
    let head = &data[..data.floor_char_boundary(HEAD_BYTES)];
    let mut heads = text.match_indices(head);
    let (at, _) = heads.find(|(at, _)| text[*at..].starts_with(data))?;
    text.replace_range(at..at + data.len(), "");
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{event_with, frozen};

    const DATA: &str = r#"{"conversation":{"id":"ä€","labels":["vip","new"]},"n":1.50}"#;

    fn event(data: &str) -> Arc<Event> {
        event_with("e", data).event
    }

    /// Writes the columns, and reads them.
    fn stored(kept: &FrozenRequest) -> (Columns, StoredRequest) {
        let columns = kept.columns().unwrap();
        let body = columns.body.as_deref().map(<[u8]>::to_vec);
        let read = StoredRequest::read(&columns.request, body).unwrap();
        (columns, read)
    }

    fn round_trip(request: &Frozen, data: &str) -> (FrozenRequest, Frozen) {
        let event = event(data);
        let kept = FrozenRequest::new(request.clone(), &event);
        let (columns, read) = stored(&kept);
        assert_eq!((read.request.data_at, columns.body), (kept.data_at, None));
        (kept, read.whole(Some(event.data().raw())).unwrap())
    }

    #[test]
    fn data_that_was_posted_is_left_out_and_put_back() {
        for (before, after) in [("{\"é\":1,\"data\":", "}"), ("", ""), ("{\"conversation\":{", "")]
        {
            let request = frozen(&format!("{before}{DATA}{after}"));
            let (kept, whole) = round_trip(&request, DATA);
            assert_eq!(kept.request, frozen(&format!("{before}{after}")), "{before}");
            assert_eq!(whole, request, "{before}");
        }
    }

    #[test]
    fn secrets_and_a_second_copy_stay() {
        let mut request = frozen("{\"key\":\"");
        let rest = Piece::Text(format!("\",\"a\":{DATA},\"b\":{DATA}}}"));
        request.body.as_mut().unwrap().extend([secret(), rest]);
        let (kept, whole) = round_trip(&request, DATA);
        assert_eq!(kept.data_at, Some(DataAt { piece: 2, byte: 6 }));
        assert_eq!(whole, request);
    }

    fn secret() -> Piece {
        let escape = antar_template::Escape::JsonText;
        Piece::Secret { name: "token".to_owned(), escape }
    }

    #[test]
    fn what_has_not_the_data_is_kept_as_it_is() {
        let other = DATA.replace("vip", "VIP");
        for (body, data) in [(other.as_str(), DATA), (r#"{"n":1}"#, r#"{"n":1}"#), ("", DATA)] {
            let request = frozen(body);
            let (kept, whole) = round_trip(&request, data);
            assert_eq!((kept.data_at, whole), (None, request));
        }
        let without = Frozen { body: None, ..frozen("") };
        assert_eq!(round_trip(&without, DATA).1, without);
    }

    #[test]
    fn a_long_body_is_compressed_and_comes_back() {
        let list =
            (0..9_000).map(|n| format!("{{\"n\":{n},\"é\":\"{}\"}}", n * 7)).collect::<Vec<_>>();
        let data = format!("{{\"list\":[{}]}}", list.join(","));
        let part = format!("[{}]", list[10..8_000].join(","));
        // The data as posted and a part of it, a part only, and text that is none of it.
        for body in [format!("{{\"é\":{data},\"part\":{part}}}"), part, "é".repeat(5_000)] {
            let mut request = frozen("{\"key\":\"");
            request.body.as_mut().unwrap().extend([secret(), Piece::Text(body)]);
            let event = event(&data);
            let kept = FrozenRequest::new(request.clone(), &event);
            let (columns, read) = stored(&kept);
            let bytes = columns.request.len() + columns.body.unwrap().len();
            assert!(bytes < 1_500, "{bytes} of {}", data.len());
            assert_eq!(read.whole(Some(event.data().raw())).unwrap(), request);
            let emptied = stored(&kept).1.whole(None).unwrap();
            assert_eq!(emptied, Frozen { body: None, ..request });
        }
    }

    #[test]
    fn a_short_body_is_not_compressed() {
        let body = "x".repeat(PACK_BYTES_MIN - 1);
        assert_eq!(round_trip(&frozen(&body), DATA).1, frozen(&body));
    }

    #[test]
    fn without_the_data_there_is_no_body() {
        let kept = FrozenRequest::new(frozen(DATA), &event(DATA));
        let whole = stored(&kept).1.whole(None).unwrap();
        assert_eq!(whole, Frozen { body: None, ..frozen("") });
    }

    #[test]
    fn what_was_kept_whole_is_read() {
        let text = serde_json::to_string(&frozen(DATA)).unwrap();
        let read = StoredRequest::read(&text, None).unwrap();
        assert_eq!(read.whole(None).unwrap(), frozen(DATA));
    }
}
