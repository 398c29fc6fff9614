//! "Did you mean …": finds the known name that a wrong one resembles.

/// Longer words are no slips of a known name; comparing two words takes time and memory by their product.
const WORD_CHARS_MAX: usize = 128;

/// Candidates that are looked at.
const CANDIDATES_MAX: usize = 1_000;

/// The candidate nearest to `word`. It may be off by a third of the word's characters (by two, if that is
/// more) but never by more than half, counting a swap of neighbours as one.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word: Vec<char> = word.to_lowercase().chars().take(WORD_CHARS_MAX + 1).collect();
    if word.len() > WORD_CHARS_MAX {
        return None;
    }
    let far = (word.len() / 3).max(2);
    candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter(|candidate| candidate.len() <= 4 * WORD_CHARS_MAX)
        .map(|candidate| {
            let other: Vec<char> = candidate.to_lowercase().chars().collect();
            (distance(&word, &other), other.len().max(word.len()), candidate)
        })
        .filter(|(distance, longer, _)| *distance <= far && distance * 2 <= *longer)
        .filter(|(distance, ..)| *distance < word.len().max(1))
        .min_by_key(|(distance, ..)| *distance)
        .map(|(_, _, candidate)| candidate)
}

/// The candidate that `word` contains or abbreviates: `uppercase` and `toUpper` contain `upper`.
pub(crate) fn contained<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let mut words = vec![String::new()];
    for c in word.chars() {
        if c.is_uppercase() || matches!(c, '_' | '-' | '.') {
            words.push(String::new());
        }
        if let Some(last) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            last.extend(c.to_lowercase());
        }
    }
    let whole = word.to_lowercase();
    candidates.into_iter().filter(|known| known.len() > 3).find(|known| {
        let shortened = whole.len() > 3 && known.starts_with(&whole);
        shortened || whole.starts_with(known) || words.iter().any(|word| word == known)
    })
}

/// Edit distance between two words, with swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_a_swapped_pair_and_leaves_strangers_alone() {
        let known = ["conversation.userData.email", "conversation.id", "timestamp"];
        assert_eq!(nearest("conversation.userData.emial", known), Some(known[0]));
        assert_eq!(nearest("order.total", known), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest("foo", ["or", "not"]), None);
        assert_eq!(nearest("log", ["lt", "eq"]), None);
        assert_eq!(nearest("fi", ["or", "if"]), Some("if"));
    }

    #[test]
    fn long_words_are_not_compared() {
        let long = "a".repeat(1 << 20);
        assert_eq!(nearest(&long, [&*long]), None);
        assert_eq!(nearest("aaa", [&*long, "aab"]), Some("aab"));
    }
}
