//! Case-insensitive comparison as in event-ruler (`EqualsIgnoreCaseParser`): each character of the
//! pattern accepts itself, its lower case and its upper case, whatever their lengths. Therefore the
//! pattern `straße` accepts `STRASSE`, but `strasse` does not accept `straße`.

/// Whether `value` equals `wanted`.
pub(crate) fn equals(value: &str, wanted: &str) -> bool {
    strip_start(value, wanted).is_some_and(str::is_empty)
}

/// Whether `value` begins with `wanted`.
pub(crate) fn starts(value: &str, wanted: &str) -> bool {
    strip_start(value, wanted).is_some()
}

/// Whether `value` ends with `wanted`.
pub(crate) fn ends(value: &str, wanted: &str) -> bool {
    if wanted.is_ascii() {
        let start = value.len().checked_sub(wanted.len());
        let tail = start.and_then(|at| value.as_bytes().get(at..));
        return tail.is_some_and(|tail| tail.eq_ignore_ascii_case(wanted.as_bytes()));
    }
    let mut rest = value;
    wanted.chars().rev().all(|c| {
        let stripped = rest
            .strip_suffix(c)
            .or_else(|| strip_all_back(rest, c.to_lowercase()))
            .or_else(|| strip_all_back(rest, c.to_uppercase()));
        rest = stripped.unwrap_or(rest);
        stripped.is_some()
    })
}

fn strip_start<'a>(value: &'a str, wanted: &str) -> Option<&'a str> {
    if wanted.is_ascii() {
        let head = value.as_bytes().get(..wanted.len())?;
        return head.eq_ignore_ascii_case(wanted.as_bytes()).then(|| &value[wanted.len()..]);
    }
    wanted.chars().try_fold(value, |rest, c| {
        rest.strip_prefix(c)
            .or_else(|| strip_all(rest, c.to_lowercase()))
            .or_else(|| strip_all(rest, c.to_uppercase()))
    })
}

fn strip_all(value: &str, mut chars: impl Iterator<Item = char>) -> Option<&str> {
    chars.try_fold(value, |rest, c| rest.strip_prefix(c))
}

fn strip_all_back(value: &str, mut chars: impl DoubleEndedIterator<Item = char>) -> Option<&str> {
    chars.try_rfold(value, |rest, c| rest.strip_suffix(c))
}

/// Appends a canonical form for the index: it is equal for a pattern and all texts that the pattern
/// accepts. Texts that differ may share it.
pub(crate) fn fold_into(out: &mut String, text: &str) {
    if text.is_ascii() {
        let start = out.len();
        out.push_str(text);
        out[start..].make_ascii_lowercase();
        return;
    }
    // Lower case first, so that `ẞ`, `ß` and `SS` get the same form.
    let lower = text.chars().flat_map(char::to_lowercase);
    out.extend(lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let mut out = String::new();
        fold_into(&mut out, text);
        out
    }

    #[test]
    fn every_character_shares_its_fold_with_both_its_cases() {
        for c in '\0'..=char::MAX {
            let (itself, lower, upper): (String, String, String) =
                (c.into(), c.to_lowercase().collect(), c.to_uppercase().collect());
            if lower == itself && upper == itself {
                continue;
            }
            assert_eq!(folded(&lower), folded(&itself), "{c:?}");
            assert_eq!(folded(&upper), folded(&itself), "{c:?}");
            for form in [&itself, &lower, &upper] {
                assert!(equals(form, &itself) && ends(form, &itself), "{c:?} {form}");
            }
        }
    }

    #[test]
    fn cases_of_different_lengths() {
        assert!(equals("STRASSE", "straße") && ends("HAUPTSTRASSE", "straße"));
        assert!(!equals("straße", "strasse") && starts("ÄPFEL", "äp") && !starts("Ä", "äp"));
        assert!(equals("ecs", "EcS") && !equals("ec", "ecs") && !ends("s", "ecs"));
    }
}
