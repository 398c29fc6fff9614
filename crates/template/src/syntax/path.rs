//! Reads the text of a path: `a.b`, `a/b`, `[a key].b`, `this`, `../a`, `@root.a`, `@index`.

/// A path as written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawPath {
    /// Number of leading `../`.
    pub(crate) up: usize,
    /// `@name`
    pub(crate) local: Option<String>,
    /// Whether it begins with `this` or `./`.
    pub(crate) this: bool,
    pub(crate) steps: Vec<String>,
}

pub(crate) fn read(raw: &str) -> RawPath {
    let mut path = RawPath { up: 0, local: None, this: false, steps: Vec::new() };
    let mut rest = raw;
    let local = rest.starts_with('@');
    rest = rest.strip_prefix('@').unwrap_or(rest);
    while let Some(after) = rest.strip_prefix("../") {
        path.up += 1;
        rest = after;
    }
    if let Some(after) = rest.strip_prefix("./") {
        path.this = true;
        rest = after;
    }
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('[') {
            Some(key) => key.split_once(']').unwrap_or((key, "")),
            None => rest.split_at(rest.find(['.', '/']).unwrap_or(rest.len())),
        };
        // `this` stays at the current context; in brackets it is a key.
        if step == "this" && !rest.starts_with('[') {
            path.this |= steps.is_empty();
        } else {
            steps.push(step.to_owned());
        }
        rest = after.strip_prefix(['.', '/']).unwrap_or(after);
    }
    if local && !steps.is_empty() {
        path.local = Some(steps.remove(0));
    }
    path.steps = steps;
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(raw: &str) -> (usize, Option<String>, bool, Vec<String>) {
        let path = read(raw);
        (path.up, path.local, path.this, path.steps)
    }

    #[test]
    fn reads_every_form() {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(steps("a.b/c"), (0, None, false, owned(&["a", "b", "c"])));
        assert_eq!(
            steps("[first name].[a.b].0"),
            (0, None, false, owned(&["first name", "a.b", "0"]))
        );
        assert_eq!(steps("this"), (0, None, true, owned(&[])));
        assert_eq!(steps("this.a"), (0, None, true, owned(&["a"])));
        assert_eq!(steps("./a"), (0, None, true, owned(&["a"])));
        assert_eq!(steps("../../a"), (2, None, false, owned(&["a"])));
        assert_eq!(steps("../this"), (1, None, true, owned(&[])));
        assert_eq!(steps("@root.a"), (0, Some("root".to_owned()), false, owned(&["a"])));
        assert_eq!(steps("@../index"), (1, Some("index".to_owned()), false, owned(&[])));
    }
}
