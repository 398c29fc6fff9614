//! Frozen requests in stored form. The body nearly always contains the event's data as posted; it is cut out,
//! because the event's own row has it.

use antar_template::Piece;
use serde::{Deserialize, Serialize};

use crate::model::{Event, Frozen};

/// Shorter data takes less space than the record that it is cut out.
const DATA_BYTES_MIN: usize = 48;
/// Length of the start of the data by which it is searched for.
const HEAD_BYTES: usize = 32;

/// The request of a delivery, without the data of its event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FrozenRequest {
    #[serde(flatten)]
    request: Frozen,
    /// None: the body does not contain the data as posted, or the data is short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_at: Option<DataAt>,
}

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
    pub fn new(mut request: Frozen, event: &Event) -> FrozenRequest {
        let data = event.data().raw();
        let body = request.body.as_deref_mut().unwrap_or_default();
        let mut pieces = body.iter_mut().enumerate();
        let data_at = pieces.find_map(|(piece, text)| match text {
            Piece::Text(text) => cut(text, data).map(|byte| DataAt { piece, byte }),
            Piece::Secret { .. } => None,
        });
        FrozenRequest { request, data_at }
    }

    /// The complete request. If cut-out data is no longer stored, there is no body either.
    pub(crate) fn whole(mut self, data: Option<&str>) -> Frozen {
        let Some(DataAt { piece, byte }) = self.data_at else { return self.request };
        let body = self.request.body.as_deref_mut().unwrap_or_default();
        match (body.get_mut(piece), data) {
            (Some(Piece::Text(text)), Some(data)) if text.is_char_boundary(byte) => {
                text.insert_str(byte, data);
            }
            _ => self.request.body = None,
        }
        self.request
    }
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

    fn round_trip(request: &Frozen, data: &str) -> (FrozenRequest, Frozen) {
        let new = event_with("e", data);
        let kept = FrozenRequest::new(request.clone(), &new.event);
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<FrozenRequest>(&text).unwrap(), kept);
        (kept.clone(), kept.whole(Some(new.event.data().raw())))
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
        let escape = antar_template::Escape::JsonText;
        let secret = Piece::Secret { name: "token".to_owned(), escape };
        let rest = Piece::Text(format!("\",\"a\":{DATA},\"b\":{DATA}}}"));
        request.body.as_mut().unwrap().extend([secret, rest]);
        let (kept, whole) = round_trip(&request, DATA);
        assert_eq!(kept.data_at, Some(DataAt { piece: 2, byte: 6 }));
        assert_eq!(whole, request);
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
    fn without_the_data_there_is_no_body() {
        let kept = FrozenRequest::new(frozen(DATA), &event_with("e", DATA).event);
        assert_eq!(kept.whole(None), Frozen { body: None, ..frozen("") });
    }

    #[test]
    fn what_was_kept_whole_is_read() {
        let text = serde_json::to_string(&frozen(DATA)).unwrap();
        let kept: FrozenRequest = serde_json::from_str(&text).unwrap();
        assert_eq!(kept.whole(None), frozen(DATA));
    }
}
