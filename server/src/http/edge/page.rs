//! Paginated lists: `?limit=&cursor=` in, `{"data", "next_cursor"}` out.
//!
//! A page is written item by item, and ends before `tenant.page_bytes_max` would be passed: nothing but
//! handles and the text of the page is in memory.

use std::fmt::Display;
use std::str::FromStr;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::error::Problem;
use crate::config::Config;
use crate::store::{Page, PageSize};

/// Page size of requests without a `limit`.
const LIMIT: usize = 50;

/// Which part of a list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// Items at most; 50 when left out, never more than the server's `tenant.page_max`. A page of large
    /// items has fewer: `tenant.page_bytes_max`.
    pub(crate) limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub(crate) cursor: Option<String>,
}

/// Which part of a list that is short as a rule.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LongPaging {
    /// Items at most; left out, as many as the server's `tenant.page_max` permits. A page of large items
    /// has fewer: `tenant.page_bytes_max`.
    pub(crate) limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub(crate) cursor: Option<String>,
}

impl LongPaging {
    pub(crate) fn or_most(self, config: &Config) -> Paging {
        Paging { limit: self.limit.or(Some(config.tenant.page_max)), cursor: self.cursor }
    }
}

/// A part of a list.
#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
    /// Where the next page begins; null at the end.
    pub(crate) next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A complete list in one page, for lists that are always short.
    pub(crate) fn whole(data: Vec<T>) -> List<T> {
        List { data, next_cursor: None }
    }
}

/// Page size for a requested limit.
pub(crate) fn limit(asked: Option<usize>, config: &Config) -> Result<usize, Problem> {
    match asked {
        Some(0) => Err(Problem::parameter("limit", "is 1 or more")),
        asked => Ok(asked.unwrap_or(LIMIT).min(config.tenant.page_max)),
    }
}

/// How much the store reads for a page with the requested limit.
pub(crate) fn size(asked: Option<usize>, config: &Config) -> Result<PageSize, Problem> {
    let rows_max = limit(asked, config)?;
    Ok(PageSize { rows_max, bytes_max: config.tenant.page_bytes_max })
}

/// The answer with a page from the store, which has bounded its bytes.
pub(crate) fn stored<R, T: Serialize>(page: Page<R>, view: impl Fn(R) -> T) -> Answer {
    let mut text = PageText::new(usize::MAX);
    for row in page.data {
        text.push(&view(row))?;
    }
    Ok(text.answer(page.next_cursor.as_deref()))
}

/// The part of a list in memory that a page begins with, by ascending key.
pub(crate) struct Selected<K, T> {
    rows: Vec<(K, T)>,
    /// There are more than these.
    more: bool,
    bytes_max: usize,
}

impl<K: Ord + Display + FromStr, T> Selected<K, T> {
    pub(crate) fn of(
        items: impl Iterator<Item = T>,
        key: impl Fn(&T) -> K,
        paging: &Paging,
        config: &Config,
    ) -> Result<Selected<K, T>, Problem> {
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
        Ok(Selected { rows, more, bytes_max: config.tenant.page_bytes_max })
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().map(|(_, item)| item)
    }

    /// Writes the page. Views are made one at a time; an item without one has gone meanwhile.
    pub(crate) fn write<V: Serialize>(
        self,
        view: impl Fn(T) -> Option<V>,
    ) -> Result<Written, Problem> {
        let mut text = PageText::new(self.bytes_max);
        let (mut last, mut more) = (None, self.more);
        for (key, item) in self.rows {
            if let Some(view) = view(item)
                && !text.push(&view)?
            {
                more = true;
                break;
            }
            last = Some(key);
        }
        let last = last.filter(|_| more);
        let next_cursor = last.map(|key| BASE64_URL_SAFE_NO_PAD.encode(key.to_string()));
        Ok(Written { text, next_cursor })
    }

    pub(crate) fn answer<V: Serialize>(self, view: impl Fn(T) -> V) -> Answer {
        Ok(self.write(|item| Some(view(item)))?.answer())
    }
}

/// A written page.
pub(crate) struct Written {
    text: PageText,
    /// None: it is the last page.
    next_cursor: Option<String>,
}

impl Written {
    pub(crate) fn is_last(&self) -> bool {
        self.next_cursor.is_none()
    }

    /// Appends an item, also beyond the bound.
    pub(crate) fn append(&mut self, item: &impl Serialize) -> Result<(), Problem> {
        self.text.bytes_max = usize::MAX;
        self.text.push(item).map(drop)
    }

    pub(crate) fn answer(self) -> HttpResponse {
        self.text.answer(self.next_cursor.as_deref())
    }
}

/// The text of a page while it is written.
struct PageText {
    text: Vec<u8>,
    items: usize,
    bytes_max: usize,
}

impl PageText {
    fn new(bytes_max: usize) -> PageText {
        PageText { text: b"{\"data\":[".to_vec(), items: 0, bytes_max }
    }

    /// Appends an item. False: the page is full without it.
    fn push(&mut self, item: &impl Serialize) -> Result<bool, Problem> {
        let before = self.text.len();
        if self.items > 0 {
            self.text.push(b',');
        }
        serde_json::to_writer(&mut self.text, item).map_err(Problem::internal)?;
        if self.items > 0 && self.text.len() > self.bytes_max {
            self.text.truncate(before);
            return Ok(false);
        }
        self.items += 1;
        Ok(true)
    }

    fn answer(mut self, next_cursor: Option<&str>) -> HttpResponse {
        self.text.extend_from_slice(b"],\"next_cursor\":");
        match next_cursor {
            // Cursors are base64, with nothing to escape.
            Some(cursor) => {
                self.text.push(b'"');
                self.text.extend_from_slice(cursor.as_bytes());
                self.text.push(b'"');
            }
            None => self.text.extend_from_slice(b"null"),
        }
        self.text.push(b'}');
        self.text.shrink_to_fit();
        HttpResponse::Ok().content_type(ContentType::json()).body(self.text)
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
    use actix_web::body::MessageBody;
    use serde_json::json;

    use super::*;

    fn page(paging: &Paging, config: &Config) -> Result<(Vec<u32>, Option<String>), Problem> {
        let selected = Selected::of([5, 3, 9, 1, 7].into_iter(), |n| *n, paging, config)?;
        let answer = selected.answer(|n| json!({ "n": n }))?;
        let body = answer.into_body().try_into_bytes().unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let rows = body["data"].as_array().unwrap().iter();
        let rows = rows.map(|row| u32::try_from(row["n"].as_u64().unwrap()).unwrap()).collect();
        Ok((rows, body["next_cursor"].as_str().map(ToOwned::to_owned)))
    }

    fn all_pages(limit: Option<usize>, config: &Config) -> Vec<Vec<u32>> {
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let (rows, next) = page(&Paging { limit, cursor }, config).unwrap();
            pages.push(rows);
            cursor = next;
            if cursor.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let pages = all_pages(Some(2), &Config::default());
        assert_eq!(pages, [vec![1, 3], vec![5, 7], vec![9]]);
    }

    #[test]
    fn a_page_ends_before_it_has_too_many_bytes() {
        let mut config = Config::default();
        for (bytes_max, expected) in [
            // `{"data":[{"n":1},{"n":3}` has 24 bytes.
            (24, vec![vec![1, 3], vec![5, 7], vec![9]]),
            (23, vec![vec![1], vec![3], vec![5], vec![7], vec![9]]),
            (1, vec![vec![1], vec![3], vec![5], vec![7], vec![9]]),
        ] {
            config.tenant.page_bytes_max = bytes_max;
            assert_eq!(all_pages(None, &config), expected, "{bytes_max}");
        }
    }

    #[test]
    fn a_full_last_page_has_no_next() {
        let config = Config::default();
        let paging = |limit| Paging { limit, cursor: None };
        assert_eq!(page(&paging(Some(5)), &config).unwrap().1, None);
        assert_eq!(page(&paging(None), &config).unwrap().0.len(), 5);
    }

    #[test]
    fn bad_parameters_are_named() {
        let wrong = |limit, cursor: Option<&str>| {
            let paging = Paging { limit, cursor: cursor.map(ToOwned::to_owned) };
            page(&paging, &Config::default()).unwrap_err().detail
        };
        assert!(wrong(Some(0), None).contains("`limit`"));
        assert!(wrong(None, Some("%")).contains("`cursor`"));
        let other_list = BASE64_URL_SAFE_NO_PAD.encode("no number");
        assert!(wrong(None, Some(&other_list)).contains("`cursor`"));
    }

    #[test]
    fn pages_have_an_end() {
        let mut config = Config::default();
        config.tenant.page_max = 3;
        assert_eq!(limit(Some(1_000_000), &config).unwrap(), 3);
        assert_eq!(limit(None, &config).unwrap(), 3);
    }
}
