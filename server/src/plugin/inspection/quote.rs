//! Quotes from an upload, cut so that an answer stays short whatever the upload contains.

/// Names that a list shows.
const NAMES_MAX: usize = 20;
/// A name in a list is cut after this.
const NAME_CHARS_MAX: usize = 200;

/// The first names of a list, and how many more there are.
pub(in super::super) fn first(names: Vec<String>) -> Vec<String> {
    let more = names.len().saturating_sub(NAMES_MAX);
    let mut first: Vec<_> =
        names.iter().take(NAMES_MAX).map(|name| cut(name, NAME_CHARS_MAX)).collect();
    if more > 0 {
        first.push(format!("and {more} more"));
    }
    first
}

/// A text without what is beyond `chars_max`.
pub(in super::super) fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_texts_are_cut_between_characters() {
        assert_eq!(first(vec!["a".into(), "b".into()]), ["a", "b"]);
        assert_eq!(first(vec![String::new(); 22]).last().unwrap(), "and 2 more");
        assert_eq!(first(vec!["é".repeat(300)])[0].chars().count(), NAME_CHARS_MAX + 1);
        assert_eq!((cut("éééé", 3).as_str(), cut("éé", 2).as_str()), ("ééé…", "éé"));
    }
}
