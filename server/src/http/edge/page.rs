//! Paginated lists: `?limit=&cursor=` in, `{"data", "next_cursor"}` out.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::error::Problem;
use crate::config::Config;
use crate::store::Page;

/// Page size of requests without a `limit`.
const LIMIT: usize = 50;

/// Which part of a list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// Items at most; 50 when left out, never more than the server's `tenant.page_max`.
    pub(crate) limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub(crate) cursor: Option<String>,
}

/// A part of a list.
#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
    /// Where the next page begins; null at the end.
    pub(crate) next_cursor: Option<String>,
}

/// Page size for a requested limit.
pub(crate) fn limit(asked: Option<usize>, config: &Config) -> Result<usize, Problem> {
    match asked {
        Some(0) => Err(Problem::parameter("limit", "is 1 or more")),
        asked => Ok(asked.unwrap_or(LIMIT).min(config.tenant.page_max)),
    }
}

impl<T> List<T> {
    /// A complete list in one page, for lists that are always short.
    pub(crate) fn whole(data: Vec<T>) -> List<T> {
        List { data, next_cursor: None }
    }

    /// A page of items in memory, by ascending `key`.
    pub(crate) fn of<K: Ord + Display + FromStr>(
        items: impl Iterator<Item = T>,
        key: impl Fn(&T) -> K,
        paging: &Paging,
        config: &Config,
    ) -> Result<List<T>, Problem> {
        let limit = limit(paging.limit, config)?;
        let after = paging.cursor.as_deref().map(read_cursor::<K>).transpose()?;
        let keyed = items.map(|item| (key(&item), item));
        let mut rows: Vec<(K, T)> =
            keyed.filter(|(key, _)| after.as_ref().is_none_or(|after| key > after)).collect();
        let by_key = |a: &(K, T), b: &(K, T)| a.0.cmp(&b.0);
        let more = rows.len() > limit;
        if more {
            rows.select_nth_unstable_by(limit, by_key);
            rows.truncate(limit);
        }
        rows.sort_unstable_by(by_key);
        let last = rows.last().filter(|_| more);
        let next_cursor = last.map(|(key, _)| BASE64_URL_SAFE_NO_PAD.encode(key.to_string()));
        Ok(List { data: rows.into_iter().map(|(_, item)| item).collect(), next_cursor })
    }

    pub(crate) fn from_store<R>(page: Page<R>, view: impl Fn(R) -> T) -> List<T> {
        List { data: page.data.into_iter().map(view).collect(), next_cursor: page.next_cursor }
    }

    pub(crate) fn map<V>(self, view: impl Fn(T) -> V) -> List<V> {
        List { data: self.data.into_iter().map(view).collect(), next_cursor: self.next_cursor }
    }
}

fn read_cursor<K: FromStr>(cursor: &str) -> Result<K, Problem> {
    let text =
        BASE64_URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let key = text.and_then(|text| text.parse().ok());
    key.ok_or_else(|| Problem::parameter("cursor", "is none that this list gave out"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: Option<usize>, cursor: Option<String>) -> Result<List<u32>, Problem> {
        let paging = Paging { limit, cursor };
        List::of([5, 3, 9, 1, 7].into_iter(), |n| *n, &paging, &Config::default())
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let list = page(Some(2), cursor).unwrap();
            assert!(list.data.len() <= 2);
            seen.extend(list.data);
            cursor = list.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, [1, 3, 5, 7, 9]);
    }

    #[test]
    fn a_full_last_page_has_no_next() {
        assert_eq!(page(Some(5), None).unwrap().next_cursor, None);
        assert_eq!(page(None, None).unwrap().data.len(), 5);
    }

    #[test]
    fn bad_parameters_are_named() {
        assert!(page(Some(0), None).unwrap_err().detail.contains("`limit`"));
        assert!(page(None, Some("%".to_owned())).unwrap_err().detail.contains("`cursor`"));
        let other_list = BASE64_URL_SAFE_NO_PAD.encode("no number");
        assert!(page(None, Some(other_list)).is_err());
    }

    #[test]
    fn pages_have_an_end() {
        let mut config = Config::default();
        config.tenant.page_max = 3;
        assert_eq!(limit(Some(1_000_000), &config).unwrap(), 3);
        assert_eq!(limit(None, &config).unwrap(), 3);
    }
}
