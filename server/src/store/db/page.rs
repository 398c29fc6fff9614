//! Pages of lists, newest first. A cursor marks the entry after which the next page begins; callers treat
//! it as opaque.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::StoreError;
use crate::model::Millis;

/// One page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    pub data: Vec<T>,
    /// Cursor of the next page; none at the end.
    pub next_cursor: Option<String>,
}

/// How much a page holds at most. One row is always in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageSize {
    pub rows_max: usize,
    pub bytes_max: usize,
}

impl PageSize {
    /// How many of the rows with these sizes fit.
    pub(crate) fn fitting(self, bytes: impl IntoIterator<Item = i64>) -> usize {
        let mut sum = 0_usize;
        let fits = |bytes: &i64| {
            sum = sum.saturating_add(usize::try_from(*bytes).unwrap_or_default());
            sum <= self.bytes_max
        };
        bytes.into_iter().take(self.rows_max).take_while(fits).count().max(1)
    }
}

/// Position after an entry: its time, and a tie-breaker among entries with the same time.
pub struct Place {
    pub at: Millis,
    pub tie: String,
}

impl Place {
    #[must_use]
    pub fn cursor(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}.{}", self.at.0, self.tie))
    }

    pub fn parse(cursor: &str) -> Result<Place, StoreError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| StoreError::BadCursor)?;
        let text = String::from_utf8(bytes).map_err(|_| StoreError::BadCursor)?;
        let (at, tie) = text.split_once('.').ok_or(StoreError::BadCursor)?;
        let at = at.parse().map(Millis).map_err(|_| StoreError::BadCursor)?;
        Ok(Place { at, tie: tie.to_owned() })
    }
}

/// Makes a page from a query for one row more than `limit`.
pub(crate) fn page<T>(mut data: Vec<T>, limit: usize, place: impl Fn(&T) -> Place) -> Page<T> {
    let more = data.len() > limit;
    data.truncate(limit);
    let next_cursor = data.last().filter(|_| more).map(|last| place(last).cursor());
    Page { data, next_cursor }
}

/// One more than `limit`, to find out whether there is a next page.
pub(crate) fn rows_to_ask(limit: usize) -> i64 {
    i64::try_from(limit.max(1)).unwrap_or(i64::MAX - 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fit_until_one_bound_is_reached() {
        let fitting = |rows_max, bytes_max, bytes: &[i64]| {
            PageSize { rows_max, bytes_max }.fitting(bytes.iter().copied())
        };
        assert_eq!(fitting(3, 100, &[10, 10, 10, 10]), 3);
        assert_eq!(fitting(9, 100, &[60, 40, 1]), 2);
        assert_eq!(fitting(9, 100, &[500, 1]), 1, "one is always in it");
        assert_eq!(fitting(9, 100, &[60, 500, 1]), 1, "nothing is left out in between");
    }
}
