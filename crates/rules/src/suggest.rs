//! "Did you mean": suggests an operator for an unknown name.

/// The operators, each with an example.
pub(crate) const OPERATORS: [(&str, &str); 9] = [
    ("prefix", r#"{"prefix": "vip-"}"#),
    ("suffix", r#"{"suffix": ".com"}"#),
    ("wildcard", r#"{"wildcard": "*@example.com"}"#),
    ("equals-ignore-case", r#"{"equals-ignore-case": "sales"}"#),
    ("anything-but", r#"{"anything-but": ["spam"]}"#),
    ("numeric", r#"{"numeric": [">", 0, "<=", 5]}"#),
    ("cidr", r#"{"cidr": "10.0.0.0/24"}"#),
    ("exists", r#"{"exists": true}"#),
    ("exactly", r#"{"exactly": "sales"}"#),
];

/// Names of these operators in other languages.
const ELSEWHERE: [(&str, &str); 27] = [
    ("startswith", "prefix"),
    ("beginswith", "prefix"),
    ("endswith", "suffix"),
    ("contains", "wildcard"),
    ("includes", "wildcard"),
    ("like", "wildcard"),
    ("glob", "wildcard"),
    ("regex", "wildcard"),
    ("matches", "wildcard"),
    ("ignorecase", "equals-ignore-case"),
    ("iequals", "equals-ignore-case"),
    ("not", "anything-but"),
    ("ne", "anything-but"),
    ("none", "anything-but"),
    ("except", "anything-but"),
    ("gt", "numeric"),
    ("gte", "numeric"),
    ("lt", "numeric"),
    ("lte", "numeric"),
    ("range", "numeric"),
    ("between", "numeric"),
    ("number", "numeric"),
    ("ip", "cidr"),
    ("ipaddress", "cidr"),
    ("present", "exists"),
    ("equals", "exactly"),
    ("eq", "exactly"),
];

/// `did you mean {"prefix": "vip-"}?`, or the list of all operators if none is similar.
pub(crate) fn operator(name: &str) -> String {
    let letters = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase()
    };
    let plain = letters(name);
    let known = ELSEWHERE.iter().find(|(word, _)| *word == plain).map(|(_, operator)| *operator);
    let near = || {
        let distances = OPERATORS.iter().map(|(own, _)| (distance(&plain, &letters(own)), *own));
        distances.min().filter(|(edits, own)| *edits <= 1 + own.len() / 5).map(|(_, own)| own)
    };
    let meant = known.or_else(near);
    match OPERATORS.iter().find(|(own, _)| Some(*own) == meant) {
        Some((_, example)) => format!("did you mean {example}?"),
        None => {
            let all: Vec<_> = OPERATORS.iter().map(|(own, _)| format!("`{own}`")).collect();
            format!("the operators are {}", all.join(", "))
        }
    }
}

/// Longest name compared; longer ones are not typing errors.
const LETTERS_MAX: usize = 32;

/// Levenshtein distance between two short names.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > LETTERS_MAX {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_write() {
        for (written, meant) in [
            ("prefx", "prefix"),
            ("Prefix", "prefix"),
            ("starts-with", "prefix"),
            ("$not", "anything-but"),
            ("anything_but", "anything-but"),
            ("anythingbut", "anything-but"),
            ("exist", "exists"),
            ("equalsIgnoreCase", "equals-ignore-case"),
            ("regex", "wildcard"),
            ("$gte", "numeric"),
        ] {
            assert!(
                operator(written).starts_with(&format!("did you mean {{\"{meant}\"")),
                "{written}"
            );
        }
        assert!(operator("zzzzzz").starts_with("the operators are `prefix`"));
    }
}
