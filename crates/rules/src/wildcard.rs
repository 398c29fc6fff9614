//! The `wildcard` operator: `*` matches any characters, `\*` and `\\` a literal star and backslash.

/// A parsed wildcard: the literal texts between its stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wildcard {
    /// One more than there are stars. The first and last are anchored to the ends of the value.
    pub(crate) literals: Box<[Box<str>]>,
}

impl Wildcard {
    /// # Errors
    /// A description of what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Wildcard, String> {
        let mut literals = vec![String::new()];
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let literal = match (c, chars.peek()) {
                ('*', Some('*')) => return Err("`**` says no more than `*`: write one star".into()),
                ('*', _) => {
                    literals.push(String::new());
                    continue;
                }
                ('\\', Some(&escaped @ ('*' | '\\'))) => {
                    chars.next();
                    escaped
                }
                ('\\', _) => {
                    return Err("a backslash escapes only `*` and `\\`: write two for one \
                                (in JSON text four)"
                        .into());
                }
                (other, _) => other,
            };
            if let Some(last) = literals.last_mut() {
                last.push(literal);
            }
        }
        Ok(Wildcard { literals: literals.into_iter().map(Into::into).collect() })
    }

    pub(crate) fn stars(&self) -> usize {
        self.literals.len() - 1
    }

    /// Searches for each literal after the previous one. The leftmost match is never worse than a later one,
    /// so the cost is at most one pass over the value per literal.
    pub(crate) fn matches(&self, value: &str) -> bool {
        let (first, middle, last) = match &*self.literals {
            [] => return false,
            [only] => return value == &**only,
            [first, middle @ .., last] => (first, middle, last),
        };
        let rest = value.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last));
        let Some(mut rest) = rest else { return false };
        middle.iter().all(|literal| match rest.find(&**literal) {
            Some(at) => {
                rest = &rest[at + literal.len()..];
                true
            }
            None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, value: &str) -> bool {
        Wildcard::parse(pattern).unwrap().matches(value)
    }

    #[test]
    fn stars_and_escapes() {
        for (pattern, value) in [
            ("*", ""),
            ("*", "x"),
            ("a*", "a"),
            ("*a", "a"),
            ("a*b", "ab"),
            ("a*b*c", "aXbYc"),
            ("*/bin/*.jar", "/x/bin/y.jar"),
            (r"a\*b", "a*b"),
            (r"a\\*", r"a\b"),
            ("", ""),
            ("a*a", "aba"),
            ("*é*", "caféine"),
            ("a*aa", "aaa"),
        ] {
            assert!(matches(pattern, value), "{pattern} {value}");
        }
        for (pattern, value) in
            [("a*a", "a"), ("", "x"), (r"a\*b", "aXb"), ("a*b*c", "acb"), ("*ab*ab", "xab")]
        {
            assert!(!matches(pattern, value), "{pattern} {value}");
        }
        assert!(Wildcard::parse("a**b").is_err() && Wildcard::parse(r"a\b").is_err());
        assert!(Wildcard::parse(r"a\").is_err() && Wildcard::parse(r"*\**").is_ok());
    }
}
