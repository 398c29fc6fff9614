//! Parses a pattern: objects, paths and `$or`.
//!
//! A pattern becomes a list of conditions and the combinations of them that suffice. Following
//! event-ruler (`JsonRuleCompiler`), `$or` is multiplied out, because array consistency spans the
//! fields inside and beside it.

use std::collections::HashSet;

use antar_json::{Kind, Value};

use crate::error::push_token;
use crate::matcher::Condition;
use crate::{Limits, Part, PatternError};

/// Names that event-ruler reserves inside `$or`, so that a forgotten field name is noticed there
/// (`Constants.RESERVED_FIELD_NAMES_IN_OR_RELATIONSHIP`).
const RESERVED_IN_OR: [&str; 23] = [
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
];

/// Bytes of a list's text that are stored for explanations at most.
const WANTED_BYTES_MAX: usize = 500;

pub(crate) type Parsed<T> = Result<T, PatternError>;

pub(crate) fn parse(pattern: Value<'_>, limits: &Limits) -> Parsed<Part> {
    let mut parser = Parser::new(limits);
    if pattern.kind() != Kind::Object {
        return parser.refuse("a pattern is an object: {\"type\": [\"order.paid\"]}");
    }
    let mut alternatives: Vec<Vec<u16>> = vec![Vec::new()];
    if pattern.members().next().is_some() {
        parser.object(pattern, &mut alternatives)?;
    }
    let conditions = parser.conditions.into_boxed_slice();
    let sorted = |mut indexes: Vec<u16>| {
        indexes.sort_by_key(|i| &conditions[usize::from(*i)].path);
        indexes.into_boxed_slice()
    };
    let alternatives = alternatives.into_iter().map(sorted).collect();
    Ok(Part { conditions, alternatives })
}

pub(crate) struct Parser<'l> {
    pub(crate) limits: &'l Limits,
    /// Current position, as a JSON pointer into the pattern.
    pointer: String,
    /// Current position, as a path into events.
    segments: Vec<Box<str>>,
    depth: usize,
    conditions: Vec<Condition>,
    /// Paths that have conditions, for the top level and each enclosing `$or` branch, innermost last.
    scopes: Vec<HashSet<String>>,
    pub(crate) values: usize,
    pub(crate) wildcards: usize,
}

impl<'l> Parser<'l> {
    fn new(limits: &'l Limits) -> Parser<'l> {
        Parser {
            limits,
            pointer: String::new(),
            segments: Vec::new(),
            depth: 0,
            conditions: Vec::new(),
            scopes: vec![HashSet::new()],
            values: 0,
            wildcards: 0,
        }
    }

    pub(crate) fn refuse<T>(&self, detail: impl Into<String>) -> Parsed<T> {
        Err(PatternError { pointer: self.pointer.clone(), detail: detail.into() })
    }

    /// Runs `inner` one step further down the pattern.
    pub(crate) fn within<T>(
        &mut self,
        token: &str,
        inner: impl FnOnce(&mut Parser<'l>) -> Parsed<T>,
    ) -> Parsed<T> {
        let length = self.pointer.len();
        push_token(&mut self.pointer, token);
        let result = inner(self);
        self.pointer.truncate(length);
        result
    }

    fn object(&mut self, object: Value<'_>, alternatives: &mut Vec<Vec<u16>>) -> Parsed<()> {
        self.depth += 1;
        if self.depth > self.limits.depth_max {
            return self.refuse(format!(
                "the pattern is nested deeper than {} levels; write dotted paths instead",
                self.limits.depth_max
            ));
        }
        let mut empty = true;
        for (key, value) in object.members() {
            empty = false;
            let key = key.as_str().unwrap_or_default();
            self.within(&key, |parser| parser.member(&key, value, alternatives))?;
        }
        if empty {
            return self.refuse(
                "an empty object matches nothing in particular: remove it, or give a field in it \
                 a list of values",
            );
        }
        self.depth -= 1;
        Ok(())
    }

    fn member(
        &mut self,
        key: &str,
        value: Value<'_>,
        alternatives: &mut Vec<Vec<u16>>,
    ) -> Parsed<()> {
        if key == "$or" {
            return self.or(value, alternatives);
        }
        if self.scopes.len() > 1 && RESERVED_IN_OR.contains(&key) {
            return self.refuse(format!(
                "`{key}` names an operator and cannot be a field inside `$or`: write \
                 {{\"field\": [{{\"{key}\": …}}]}}, or the field's dotted path"
            ));
        }
        let length = self.segments.len();
        self.segments.extend(key.split('.').map(Into::into));
        match value.kind() {
            Kind::Object => self.object(value, alternatives)?,
            Kind::Array => {
                let condition = self.condition(value)?;
                alternatives.iter_mut().for_each(|indexes| indexes.push(condition));
            }
            _ => {
                return self.refuse(format!(
                    "values stand in a list: write [{}]",
                    cut(value.raw(), WANTED_BYTES_MAX)
                ));
            }
        }
        self.segments.truncate(length);
        Ok(())
    }

    fn condition(&mut self, list: Value<'_>) -> Parsed<u16> {
        let path = self.segments.join(".");
        if self.scopes.last_mut().is_some_and(|paths| !paths.insert(path.clone())) {
            return self.refuse(format!(
                "`{path}` stands twice in this pattern: put all accepted values into one list"
            ));
        }
        let index = u16::try_from(self.conditions.len()).ok();
        let Some(index) = index.filter(|i| usize::from(*i) < self.limits.fields_max) else {
            return self.refuse(format!(
                "the pattern has more than {} fields with values: split it into several rules",
                self.limits.fields_max
            ));
        };
        let (accepts, absent) = self.list(list)?;
        self.conditions.push(Condition {
            path: path.into(),
            segments: self.segments.as_slice().into(),
            weight: accepts.weight(),
            accepts,
            absent,
            wanted: cut(list.raw(), WANTED_BYTES_MAX).into(),
        });
        Ok(index)
    }

    fn or(&mut self, branches: Value<'_>, alternatives: &mut Vec<Vec<u16>>) -> Parsed<()> {
        if branches.kind() != Kind::Array || branches.elements().nth(1).is_none() {
            return self.refuse(
                "`$or` takes a list of at least two objects: \
                 {\"$or\": [{\"a\": [1]}, {\"b\": [2]}]}",
            );
        }
        let before = std::mem::take(alternatives);
        for (i, branch) in branches.elements().enumerate() {
            self.within(&i.to_string(), |parser| {
                if branch.kind() != Kind::Object {
                    return parser
                        .refuse("a branch of `$or` is an object: {\"field\": [\"value\"]}");
                }
                let mut own = before.clone();
                parser.scopes.push(HashSet::new());
                parser.object(branch, &mut own)?;
                parser.scopes.pop();
                alternatives.append(&mut own);
                Ok(())
            })?;
            if alternatives.len() > self.limits.alternatives_max {
                return self.refuse(format!(
                    "the `$or`s of this pattern multiply to more than {} combinations: lists of \
                     values need no `$or`, and a rule may be split into several",
                    self.limits.alternatives_max
                ));
            }
        }
        Ok(())
    }
}

/// Truncates a text to `bytes_max` bytes; appends an ellipsis if anything was cut.
#[must_use]
pub fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_max);
    format!("{}…", &text[..end])
}
