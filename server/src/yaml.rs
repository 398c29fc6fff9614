//! YAML with the line number of every value, and the text of every number.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};
use serde_saphyr::Spanned;

use crate::exact_json;

/// A value and its first line, counted from 1 in the whole file.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    line: u64,
    /// Where its own text is, in bytes of the document. An alias has that of what it stands for.
    span: Option<(usize, usize)>,
    tree: Tree,
}

#[derive(Clone, Debug)]
enum Tree {
    Scalar(Json),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A YAML syntax error and its line.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {detail}")]
pub(crate) struct NoYaml {
    pub(crate) line: u64,
    detail: String,
}

/// The documents of a file in order, without empty ones.
pub(crate) fn documents(text: &str) -> Result<Vec<Node>, NoYaml> {
    let mut found = Vec::new();
    for (before, document) in split(text) {
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let parsed =
            serde_saphyr::from_str_with_options::<Spanned<Tree>>(&document, options.clone());
        let Ok(parsed) = parsed else { return Err(refused(before, &document, options)) };
        let mut node = Node::from(parsed);
        node.keep_numbers(&document);
        node.move_down(before as u64);
        if !matches!(node.tree, Tree::Scalar(Json::Null)) {
            found.push(node);
        }
    }
    Ok(found)
}

/// The text of a JSON value that is the only document of a file.
pub(crate) fn to_json_text(text: &str) -> Result<String, NoYaml> {
    let only = documents(text)?.into_iter().next();
    Ok(only.map_or_else(|| "null".to_owned(), |node| exact_json::text(&node.to_json())))
}

/// What is wrong with a document. Empty lines before it make the parser count lines from the start of the file,
/// also in its message; it is read a second time for that, because empty lines before every document would be as
/// many as lines times documents.
fn refused(before: usize, document: &str, options: serde_saphyr::Options) -> NoYaml {
    let padded = format!("{}{document}", "\n".repeat(before));
    match serde_saphyr::from_str_with_options::<Spanned<Tree>>(&padded, options) {
        Err(error) => NoYaml {
            line: error.location().map_or(before as u64 + 1, |location| location.line()),
            detail: error.to_string(),
        },
        Ok(_) => NoYaml { line: before as u64 + 1, detail: "it is no YAML by itself".to_owned() },
    }
}

/// Each document with the number of lines before it. A line that begins with `---` ends a document
/// anywhere, even inside a block scalar (YAML 1.2, 9.2).
fn split(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(0, String::new())];
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let ends = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if ends {
            documents.push((number, String::new()));
        }
        if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
        }
    }
    let is_content = |line: &str| {
        !matches!(line.trim(), "" | "---" | "...") && !line.trim_start().starts_with('#')
    };
    documents.retain(|(_, document)| document.lines().any(is_content));
    documents
}

/// A number as YAML writes it, as JSON has it. None: its value is what counts, as in `0x10`.
fn number(text: &str) -> Option<Json> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let has_zeros = digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    // A number without its leading zeros would be another one: of a telephone, or an account.
    if has_zeros {
        return Some(text.into());
    }
    exact_json::is_json_number(text).then(|| exact_json::number(text))
}

impl Node {
    /// Reads the numbers again, from the text of the document.
    fn keep_numbers(&mut self, document: &str) {
        match &mut self.tree {
            Tree::Scalar(value) if value.is_number() => {
                let text = self.span.and_then(|(start, end)| document.get(start..end));
                if let Some(number) = text.and_then(|text| number(text.trim())) {
                    *value = number;
                }
            }
            Tree::Scalar(_) => {}
            Tree::List(elements) => elements.iter_mut().for_each(|it| it.keep_numbers(document)),
            Tree::Map(members) => members.iter_mut().for_each(|(_, it)| it.keep_numbers(document)),
        }
    }

    /// Adds lines before the value.
    fn move_down(&mut self, lines: u64) {
        self.line += lines;
        match &mut self.tree {
            Tree::Scalar(_) => {}
            Tree::List(elements) => {
                elements.iter_mut().for_each(|element| element.move_down(lines))
            }
            Tree::Map(members) => members.iter_mut().for_each(|(_, node)| node.move_down(lines)),
        }
    }

    pub(crate) fn to_json(&self) -> Json {
        match &self.tree {
            Tree::Scalar(value) => value.clone(),
            Tree::List(elements) => elements.iter().map(Node::to_json).collect(),
            Tree::Map(members) => Json::Object(
                members
                    .iter()
                    .map(|(key, node)| (key.clone(), node.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// The line of the value at an RFC 6901 pointer, or of the innermost existing part of it.
    pub(crate) fn line_of(&self, pointer: &str) -> u64 {
        let mut node = self;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match &node.tree {
                Tree::Map(members) => {
                    members.iter().find(|(key, _)| *key == part).map(|(_, node)| node)
                }
                Tree::List(elements) => {
                    part.parse::<usize>().ok().and_then(|index| elements.get(index))
                }
                Tree::Scalar(_) => None,
            };
            let Some(next) = next else { break };
            node = next;
        }
        node.line
    }
}

impl From<Spanned<Tree>> for Node {
    fn from(spanned: Spanned<Tree>) -> Node {
        let span = spanned.defined.span();
        let bytes = span.byte_offset().zip(span.byte_len());
        let bytes = bytes.and_then(|(start, length)| {
            let start = usize::try_from(start).ok()?;
            Some((start, start.checked_add(usize::try_from(length).ok()?)?))
        });
        Node { line: spanned.referenced.line(), span: bytes, tree: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has too")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Json::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Json::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
        let number = Number::from_f64(value);
        number
            .map(|number| Tree::Scalar(Json::Number(number)))
            .ok_or_else(|| E::custom("JSON has no such number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element::<Spanned<Tree>>()? {
            elements.push(element.into());
        }
        Ok(Tree::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Spanned<Tree>>()? {
            members.push((key, value.into()));
        }
        Ok(Tree::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a comment\nkind: webhook\nname: a\nheaders: {X-A: \"1\"}\nbody: |-\n  {\n   \"a\": 1}\nsigners:\n  - kind: bearer\n  - kind: hmac\n---\n# nothing\n---\nkind: source\nattributes:\n  yes: no\nn: [1, 1.5, -2, true, null, 2026-01-01, 0x10]\n";

    #[test]
    fn documents_know_their_lines() {
        let documents = documents(TEXT).unwrap();
        assert_eq!(documents.len(), 2);
        let lines = |document: usize, pointer| documents[document].line_of(pointer);
        assert_eq!(lines(0, ""), 2);
        assert_eq!(lines(0, "/headers/X-A"), 4);
        assert_eq!(lines(0, "/signers/1/header"), 10);
        assert_eq!(lines(1, ""), 14);
        assert_eq!(lines(1, "/attributes/yes"), 16);
    }

    #[test]
    fn values_are_those_of_json() {
        let documents = documents(TEXT).unwrap();
        assert_eq!(documents[0].to_json()["body"], "{\n \"a\": 1}");
        let second = documents[1].to_json();
        assert_eq!(second["attributes"], serde_json::json!({"yes": "no"}));
        assert_eq!(second["n"], serde_json::json!([1, 1.5, -2, true, null, "2026-01-01", 16]));
    }

    #[test]
    fn numbers_keep_their_text() {
        let text = "id: [82025227314455255421]\nprice: &p 1.10\nsame: *p\nphone: [08123456789, 007]\n\
            zero: 0\nsmall: -0.50\nplus: +7\nhex: 0x1F\ntext: \"1.10\"\nquoted: '08'\n---\nnext: 2.50\n";
        let documents = documents(text).unwrap();
        assert_eq!(
            exact_json::text(&documents[0].to_json()),
            r#"{"id":[82025227314455255421],"price":1.10,"same":1.10,"phone":["08123456789","007"],"zero":0,"small":-0.50,"plus":7,"hex":31,"text":"1.10","quoted":"08"}"#
        );
        assert_eq!(exact_json::text(&documents[1].to_json()), r#"{"next":2.50}"#);
    }

    #[test]
    fn what_is_no_yaml_is_found_in_the_file() {
        let error = documents("kind: a\n---\nkind: b\nname: [1\n---\nkind: c\n").unwrap_err();
        assert!((4..=5).contains(&error.line), "{error}");
        let error = documents("a: 1\n---\nb: 1\nb: 2\n").unwrap_err();
        assert_eq!(error.line, 4, "{error}");
    }

    #[test]
    fn a_block_of_text_may_hold_dashes() {
        let documents = documents("a: |\n  x\n  ---\n  y\nb: ---x\n").unwrap();
        assert_eq!(documents[0].to_json()["a"], "x\n---\ny\n");
    }
}
