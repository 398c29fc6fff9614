//! E-mail addresses and phone numbers inside of texts.
//!
//! Both finders would rather take too much than leave something: what is looked for is personal
//! data.

use std::ops::Range;

/// Digits of a number with its country code (ITU-T E.164 allows 15); without one, shorter ones are
/// more often a date or an id.
const DIGITS_MAX: usize = 15;
const DIGITS_MIN_INTERNATIONAL: usize = 7;
const DIGITS_MIN_NATIONAL: usize = 9;

/// `local@domain.tld`, letters of any alphabet.
pub(crate) fn emails(text: &str) -> Vec<Range<usize>> {
    let is_local = |c: char| c.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c);
    let is_domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices('@') {
        let local = text[..at].trim_end_matches(is_local).len();
        let tail = text[at + 1..].trim_start_matches(is_domain);
        // A full stop or dash after an address belongs to the sentence.
        let domain = text[at + 1..text.len() - tail.len()].trim_end_matches(['.', '-']);
        let is_address = local < at && domain.find('.').is_some_and(|dot| dot > 0);
        let after_last = found.last().is_none_or(|last| local >= last.end);
        if is_address && after_last {
            found.push(local..at + 1 + domain.len());
        }
    }
    found
}

/// Digits, with single separators in between, that begin with `+`, `(` or a digit.
pub(crate) fn phones(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !starts_number(text, at) {
            at += 1;
            continue;
        }
        let run = run(bytes, at);
        if is_phone(text, &run) {
            found.push(run.clone());
        }
        at = run.end.max(at + 1);
    }
    found
}

fn starts_number(text: &str, at: usize) -> bool {
    let is_start = matches!(text.as_bytes()[at], b'+' | b'(' | b'0'..=b'9');
    // Digits in the middle of a word are part of an id, after a colon of a time.
    is_start && !text[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':'))
}

/// From `start` to the last digit of what reads as one number.
fn run(bytes: &[u8], start: usize) -> Range<usize> {
    let (mut end, mut separators) = (start, 0);
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'0'..=b'9' => {
                end = at + 1;
                separators = 0;
            }
            b'+' if at == start => {}
            // `) ` and ` (` are the longest that separate two groups.
            b' ' | b'-' | b'.' | b'/' | b'(' | b')' if separators < 2 => separators += 1,
            _ => break,
        }
    }
    start..end
}

fn is_phone(text: &str, run: &Range<usize>) -> bool {
    let number = &text[run.clone()];
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let least =
        if number.starts_with('+') { DIGITS_MIN_INTERNATIONAL } else { DIGITS_MIN_NATIONAL };
    let goes_on =
        text[run.end..].starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':'));
    (least..=DIGITS_MAX).contains(&digits) && !goes_on && !is_date(number)
}

/// `2026-03-10`, also with the hour after it.
fn is_date(number: &str) -> bool {
    let shape = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
    let shapes: Vec<u8> = number.bytes().take(10).map(shape).collect();
    matches!(shapes.as_slice(), b"0000-00-00" | b"0000/00/00" | b"00.00.0000" | b"00/00/0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, find: impl Fn(&str) -> Vec<Range<usize>>) -> Vec<&str> {
        find(text).into_iter().map(|span| &text[span]).collect()
    }

    #[test]
    fn emails_are_found_in_sentences() {
        let text = "Ask ayu+crm@mail.example.com, or <budi@café.id>. Not @here, a@b, x@.com.";
        assert_eq!(texts(text, emails), ["ayu+crm@mail.example.com", "budi@café.id"]);
        assert_eq!(texts("a@b.co@c.de", emails), ["a@b.co"]);
    }

    #[test]
    fn phones_are_found_however_they_are_written() {
        for text in [
            "+6281234567890",
            "+62 812-3456-7890",
            "0812 3456 7890",
            "(021) 555-01234",
            "+1 (415) 555.0123",
            "021/5550123",
        ] {
            assert_eq!(texts(text, phones), [text], "{text}");
            assert_eq!(texts(&format!("Call {text}, now"), phones).len(), 1, "{text}");
        }
        assert_eq!(texts("081234567890 or +4915112345678.", phones).len(), 2);
    }

    #[test]
    fn dates_times_and_ids_are_no_phones() {
        for text in [
            "2026-03-10T12:00:00.000Z",
            "2026-03-10 12:00:00",
            "10.03.2026",
            "01997c5a-0000-7000-8000-000000000001",
            "order_123456789012",
            "8202522731445525542",
            "1,234,567.89",
        ] {
            assert!(texts(text, phones).is_empty(), "{text}: {:?}", texts(text, phones));
        }
    }

    #[test]
    fn spans_are_at_characters_borders() {
        for text in ["é@é.é@", "@", "+", "é+62é812", "(((((", "1é2@3.4é"] {
            for span in emails(text).into_iter().chain(phones(text)) {
                assert!(text.get(span).is_some(), "{text}");
            }
        }
    }
}
