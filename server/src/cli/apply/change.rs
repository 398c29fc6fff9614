//! Differences between a current resource and the wanted one, as merge patches and diffs.

use serde_json::{Map, Value as Json};
use similar::{ChangeTag, TextDiff};

use crate::exact_json;

/// Unchanged lines shown around a difference.
const CONTEXT_LINES: usize = 2;

/// The JSON merge patch (RFC 7396) that turns `current` into `wanted`; `None` if they are equal.
/// Members missing in `wanted` become null, which resets them to their default.
pub(super) fn merge_patch(current: &Json, wanted: &Json) -> Option<Json> {
    let (Json::Object(before), Json::Object(after)) = (current, wanted) else {
        return (current != wanted).then(|| wanted.clone());
    };
    let mut patch = Map::new();
    for (key, value) in after {
        match before.get(key) {
            None => {
                patch.insert(key.clone(), value.clone());
            }
            Some(old) => {
                if let Some(inner) = merge_patch(old, value) {
                    patch.insert(key.clone(), inner);
                }
            }
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Json::Null);
    }
    (!patch.is_empty()).then_some(Json::Object(patch))
}

/// A line of a diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// `+`, `-`, a blank, or `@` for a gap.
    pub(super) sign: char,
    pub(super) text: String,
}

/// A unified diff of both values as YAML.
pub(super) fn diff(current: &Json, wanted: &Json) -> Vec<Line> {
    let (before, after) = (yaml(current), yaml(wanted));
    let diff = TextDiff::from_lines(before.as_str(), after.as_str());
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(CONTEXT_LINES).iter().enumerate() {
        if index > 0 {
            lines.push(Line { sign: '@', text: "…".to_owned() });
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let sign = match change.tag() {
                ChangeTag::Insert => '+',
                ChangeTag::Delete => '-',
                ChangeTag::Equal => ' ',
            };
            lines.push(Line { sign, text: change.value().trim_end_matches('\n').to_owned() });
        }
    }
    lines
}

/// The diff as text, in the format of `diff -u`.
pub(super) fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("{}{}\n", line.sign, line.text)).collect()
}

fn yaml(value: &Json) -> String {
    if value.is_null() || value.as_object().is_some_and(Map::is_empty) {
        return String::new();
    }
    let value = exact_json::shown(value);
    serde_saphyr::to_string(&value).unwrap_or_else(|_| format!("{value:#}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The algorithm of RFC 7396, section 2.
    fn apply(target: &mut Json, patch: &Json) {
        let Json::Object(patch) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        for (key, value) in patch {
            if value.is_null() {
                target.as_object_mut().unwrap().shift_remove(key);
            } else {
                apply(&mut target[key], value);
            }
        }
    }

    #[test]
    fn a_patch_makes_one_of_the_other() {
        let values = [
            json!({}),
            json!({"a": 1}),
            json!({"a": {"b": [1, null]}, "c": "x"}),
            json!({"a": {"b": [1], "d": {"e": false}}, "c": {"f": 1.5}}),
            json!({"a": [{"b": 1}]}),
        ];
        for before in &values {
            for after in &values {
                let patch = merge_patch(before, after);
                assert_eq!(patch.is_none(), before == after);
                let mut patched = before.clone();
                apply(&mut patched, &patch.unwrap_or(json!({})));
                assert_eq!(patched, *after);
            }
        }
    }

    #[test]
    fn only_what_differs_is_sent() {
        let before = json!({"name": "a", "retry": {"attempts_max": 3, "jitter": 0.1}, "body": "x"});
        let after = json!({"name": "a", "retry": {"attempts_max": 4, "jitter": 0.1}});
        let patch = json!({"retry": {"attempts_max": 4}, "body": null});
        assert_eq!(merge_patch(&before, &after), Some(patch));
    }

    #[test]
    fn a_diff_shows_the_lines_around() {
        let before = json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": "{\n  x\n}"});
        let after = json!({"a": 1, "b": 2, "c": 3, "d": 5, "e": "{\n  y\n}"});
        let shown = text(&diff(&before, &after));
        assert!(shown.starts_with(" b: 2\n c: 3\n-d: 4\n+d: 5\n"), "{shown}");
        assert!(shown.contains("-    x\n+    y\n"), "{shown}");
        assert!(diff(&before, &before).is_empty());
    }

    #[test]
    fn what_is_new_is_all_plus() {
        let lines = diff(&Json::Null, &json!({"a": 1, "b": [1]}));
        assert!(lines.iter().all(|line| line.sign == '+'), "{lines:?}");
    }
}
