//! Header list of a request under construction.

/// Header fields in order; a later field replaces an earlier one of the same name (case-insensitive).
pub(super) struct HeaderList<T>(Vec<(String, T)>);

impl<T> HeaderList<T> {
    pub(super) fn with_capacity(count: usize) -> HeaderList<T> {
        HeaderList(Vec::with_capacity(count))
    }

    pub(super) fn put(&mut self, name: &str, value: T) {
        let field = (name.to_owned(), value);
        match self.0.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some(known) => *known = field,
            None => self.0.push(field),
        }
    }
}

impl<T> IntoIterator for HeaderList<T> {
    type Item = (String, T);
    type IntoIter = std::vec::IntoIter<(String, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
