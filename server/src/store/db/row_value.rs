//! Column values of rows to be written.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// A column value.
pub(crate) type Cell<'a> = CellOf<Cow<'a, str>>;
/// A column value in a buffer of rows: its text is a range of the buffer's text.
pub(super) type StoredCell = CellOf<Range<usize>>;

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum CellOf<T> {
    Text(T),
    Number(i64),
    Id([u8; 16]),
    Flag(bool),
    Bytes(Arc<[u8]>),
    Null,
}

impl<T> CellOf<T> {
    pub(super) fn map_text<U>(self, of: impl FnOnce(T) -> U) -> CellOf<U> {
        match self {
            CellOf::Text(text) => CellOf::Text(of(text)),
            CellOf::Number(number) => CellOf::Number(number),
            CellOf::Id(id) => CellOf::Id(id),
            CellOf::Flag(flag) => CellOf::Flag(flag),
            CellOf::Bytes(bytes) => CellOf::Bytes(bytes),
            CellOf::Null => CellOf::Null,
        }
    }

    pub(super) fn number(&self) -> Option<i64> {
        if let CellOf::Number(number) = self { Some(*number) } else { None }
    }

    pub(super) fn id(&self) -> Option<[u8; 16]> {
        if let CellOf::Id(id) = self { Some(*id) } else { None }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        if let CellOf::Flag(flag) = self { Some(*flag) } else { None }
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        if let CellOf::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

impl StoredCell {
    pub(super) fn shown<'a>(&self, text: &'a str) -> Cell<'a> {
        self.clone().map_text(|at| text[at].into())
    }

    pub(super) fn text<'a>(&self, text: &'a str) -> Option<&'a str> {
        if let StoredCell::Text(at) = self { Some(&text[at.clone()]) } else { None }
    }
}

impl Cell<'_> {
    /// The value as part of a row's key: ids as lower-case hex.
    pub(crate) fn spelled(&self) -> String {
        match self {
            Cell::Text(text) => text.clone().into_owned(),
            Cell::Number(number) => number.to_string(),
            Cell::Id(id) => hex::encode(id),
            Cell::Flag(flag) => flag.to_string(),
            Cell::Bytes(bytes) => hex::encode(bytes),
            Cell::Null => String::new(),
        }
    }
}

impl From<i64> for Cell<'_> {
    fn from(number: i64) -> Self {
        Cell::Number(number)
    }
}

impl From<bool> for Cell<'_> {
    fn from(flag: bool) -> Self {
        Cell::Flag(flag)
    }
}

impl From<Arc<[u8]>> for Cell<'_> {
    fn from(bytes: Arc<[u8]>) -> Self {
        Cell::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Cell::Text(text.into())
    }
}

impl From<String> for Cell<'_> {
    fn from(text: String) -> Self {
        Cell::Text(text.into())
    }
}

impl<'a> From<Cow<'a, str>> for Cell<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Cell::Text(text)
    }
}

impl From<crate::model::Millis> for Cell<'_> {
    fn from(time: crate::model::Millis) -> Self {
        Cell::Number(time.0)
    }
}

impl From<uuid::Uuid> for Cell<'_> {
    fn from(id: uuid::Uuid) -> Self {
        Cell::Id(id.into_bytes())
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Null, Into::into)
    }
}
