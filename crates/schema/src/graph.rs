//! A schema as a graph of subschemas.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::SchemaError;

/// What validators compare at most before they hash the elements for `uniqueItems`.
const UNIQUE_FACTOR: u64 = 16;

/// Index of a node.
pub(crate) type Id = usize;

/// A subschema: what it costs by itself, and which others it leads to.
#[derive(Default)]
pub(crate) struct Node {
    /// The node that it is written below, and the part of the JSON pointer from there, for messages. Whole pointers
    /// would be as long as a chain of references, for each of its links.
    written: Option<(Id, String)>,
    /// Steps for one value, without other subschemas.
    pub(crate) own: u64,
    /// Subschemas for the same value, and how often each is evaluated.
    pub(crate) here: Vec<(Id, u64)>,
    /// `properties`
    pub(crate) named: Vec<Id>,
    /// `patternProperties`: any member may match all of them.
    pub(crate) patterns: Vec<Id>,
    /// What matching names with patterns costs for each member.
    pub(crate) names_own: u64,
    /// `propertyNames`: evaluated for names, which are texts.
    pub(crate) names: Option<Id>,
    /// `additionalProperties`, `unevaluatedProperties`
    pub(crate) other_members: Vec<Id>,
    /// `prefixItems`, and `items` of earlier drafts.
    pub(crate) prefix: Vec<Id>,
    /// `items`, `additionalItems`, `unevaluatedItems`
    pub(crate) elements: Vec<Id>,
    /// `contains`: evaluated for each element beside the others.
    pub(crate) contains: Option<Id>,
}

impl Node {
    /// Its subschemas for what is in the value.
    pub(crate) fn children(&self) -> impl Iterator<Item = Id> {
        let lists =
            [&self.named, &self.patterns, &self.other_members, &self.prefix, &self.elements];
        let single = self.names.into_iter().chain(self.contains);
        lists.into_iter().flatten().copied().chain(single)
    }
}

pub(crate) struct Graph {
    /// The first one is the whole schema.
    pub(crate) nodes: Vec<Node>,
    /// Regular expressions for values and names.
    pub(crate) patterns: Vec<String>,
}

impl Graph {
    pub(crate) fn read(schema: &Value, subschemas_max: usize) -> Result<Graph, SchemaError> {
        let mut reader = Reader {
            root: schema,
            subschemas_max,
            ids: HashMap::new(),
            pending: Vec::new(),
            nodes: Vec::new(),
            patterns: Vec::new(),
            targets: targets(schema, subschemas_max)?,
            walk: None,
        };
        reader.node(schema, None)?;
        while let Some((id, value)) = reader.pending.pop() {
            if let Value::Object(members) = value {
                reader.fill(id, members)?;
            }
        }
        Ok(Graph { nodes: reader.nodes, patterns: reader.patterns })
    }

    /// Where a node is written, as far as people read it.
    pub(crate) fn pointer(&self, id: Id) -> String {
        const PARTS_MAX: usize = 32;
        let above = |written: &Option<(Id, String)>| written.as_ref().map(|(above, _)| *above);
        let chain = std::iter::successors(Some(id), |id| above(&self.nodes[*id].written));
        let parts =
            chain.filter_map(|id| self.nodes[id].written.as_ref().map(|(_, part)| part.as_str()));
        let mut parts: Vec<&str> = parts.take(PARTS_MAX + 1).collect();
        if parts.len() > PARTS_MAX {
            parts[PARTS_MAX] = "…";
        }
        parts.reverse();
        parts.concat()
    }
}

struct Reader<'a> {
    root: &'a Value,
    subschemas_max: usize,
    /// Nodes by the address of their value, so that a subschema that is referred to is one node.
    ids: HashMap<*const Value, Id>,
    pending: Vec<(Id, &'a Value)>,
    nodes: Vec<Node>,
    patterns: Vec<String>,
    /// Subschemas by `$id`, `$anchor` and `$dynamicAnchor`, as references name them.
    targets: HashMap<String, &'a Value>,
    /// A node that goes through everything below a value.
    walk: Option<Id>,
}

impl<'a> Reader<'a> {
    /// The node of a value; `written` is used if it is new.
    fn node(&mut self, value: &'a Value, written: Option<(Id, String)>) -> Result<Id, SchemaError> {
        if let Some(id) = self.ids.get(&std::ptr::from_ref(value)) {
            return Ok(*id);
        }
        let id = self.new_node(written)?;
        self.ids.insert(std::ptr::from_ref(value), id);
        self.pending.push((id, value));
        Ok(id)
    }

    fn new_node(&mut self, written: Option<(Id, String)>) -> Result<Id, SchemaError> {
        if self.nodes.len() >= self.subschemas_max {
            return Err(SchemaError::TooManySubschemas(self.subschemas_max));
        }
        self.nodes.push(Node { written, own: 1, ..Node::default() });
        Ok(self.nodes.len() - 1)
    }

    fn fill(&mut self, id: Id, members: &'a Map<String, Value>) -> Result<(), SchemaError> {
        // To find out what was evaluated, validators evaluate everything for the same value once more.
        let unevaluated = ["unevaluatedProperties", "unevaluatedItems"];
        let times = if unevaluated.iter().any(|name| members.contains_key(*name)) { 2 } else { 1 };
        for (keyword, value) in members {
            let below = format!("/{}", token(keyword));
            self.nodes[id].own += 1;
            match keyword.as_str() {
                "$ref" => {
                    let target = self.referred(value)?;
                    self.here(id, target, "/$ref".to_owned(), times)?;
                }
                "$dynamicRef" => return Err(SchemaError::Unsupported("$dynamicRef")),
                "$recursiveRef" => return Err(SchemaError::Unsupported("$recursiveRef")),
                "allOf" | "anyOf" | "oneOf" => {
                    for (number, part) in value.as_array().into_iter().flatten().enumerate() {
                        self.here(id, part, format!("{below}/{number}"), times)?;
                    }
                }
                "not" | "if" | "then" | "else" => self.here(id, value, below, times)?,
                "dependentSchemas" | "dependencies" => {
                    for (name, part) in subschemas(value) {
                        self.here(id, part, format!("{below}/{}", token(name)), times)?;
                    }
                }
                "properties" => {
                    for (name, part) in subschemas(value) {
                        let part =
                            self.node(part, Some((id, format!("{below}/{}", token(name)))))?;
                        self.nodes[id].named.push(part);
                    }
                }
                "patternProperties" => {
                    for (name, part) in subschemas(value) {
                        let part =
                            self.node(part, Some((id, format!("{below}/{}", token(name)))))?;
                        self.nodes[id].patterns.push(part);
                        self.nodes[id].names_own += 1 + name.len() as u64;
                        self.patterns.push(name.clone());
                    }
                }
                "propertyNames" => {
                    self.nodes[id].names = Some(self.node(value, Some((id, below)))?);
                }
                "additionalProperties" | "unevaluatedProperties" => {
                    let part = self.node(value, Some((id, below)))?;
                    self.nodes[id].other_members.push(part);
                }
                "prefixItems" => self.prefix(id, value, below)?,
                "items" if value.is_array() => self.prefix(id, value, below)?,
                "items" | "additionalItems" | "unevaluatedItems" => {
                    let part = self.node(value, Some((id, below)))?;
                    self.nodes[id].elements.push(part);
                }
                "contains" => self.nodes[id].contains = Some(self.node(value, Some((id, below)))?),
                "enum" | "const" => self.nodes[id].own += size(value),
                "pattern" | "format" => {
                    let text = value.as_str().unwrap_or_default();
                    self.nodes[id].own += text.len() as u64;
                    if keyword == "pattern" {
                        self.patterns.push(text.to_owned());
                    }
                }
                "uniqueItems" => {
                    let walk = self.walk()?;
                    self.nodes[id].here.push((walk, UNIQUE_FACTOR));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn here(
        &mut self,
        id: Id,
        part: &'a Value,
        written: String,
        times: u64,
    ) -> Result<(), SchemaError> {
        let part = self.node(part, Some((id, written)))?;
        self.nodes[id].here.push((part, times));
        Ok(())
    }

    fn prefix(&mut self, id: Id, value: &'a Value, written: String) -> Result<(), SchemaError> {
        for (number, part) in value.as_array().into_iter().flatten().enumerate() {
            let part = self.node(part, Some((id, format!("{written}/{number}"))))?;
            self.nodes[id].prefix.push(part);
        }
        Ok(())
    }

    fn walk(&mut self) -> Result<Id, SchemaError> {
        if let Some(walk) = self.walk {
            return Ok(walk);
        }
        let walk = self.new_node(None)?;
        self.nodes[walk].other_members.push(walk);
        self.nodes[walk].elements.push(walk);
        self.walk = Some(walk);
        Ok(walk)
    }

    fn referred(&self, reference: &Value) -> Result<&'a Value, SchemaError> {
        // What is no text the validator refuses.
        let text = reference.as_str().unwrap_or_default();
        let unknown = || SchemaError::UnknownReference(text.to_owned());
        if let Some(target) = self.targets.get(text.trim_end_matches('#')) {
            return Ok(target);
        }
        let (base, fragment) = text.split_once('#').ok_or_else(unknown)?;
        let base =
            if base.is_empty() { self.root } else { self.targets.get(base).ok_or_else(unknown)? };
        let fragment = percent_decode_str(fragment).decode_utf8().map_err(|_| unknown())?;
        base.pointer(&fragment).ok_or_else(unknown)
    }
}

/// The members of an object of subschemas; lists of names among them are no schemas.
fn subschemas(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten().filter(|(_, part)| !part.is_array())
}

/// Everything that can be referred to by a name, wherever it is written. A part with an id of its own is refused: it
/// would give other meanings to the references in it. So is a name that is there twice.
fn targets(schema: &Value, values_max: usize) -> Result<HashMap<String, &Value>, SchemaError> {
    // Examples and defaults may be large, and cost nothing.
    const VALUES_FACTOR: usize = 16;
    let mut targets = HashMap::new();
    let is_text =
        |members: &Map<String, Value>, name: &str| members.get(name).is_some_and(Value::is_string);
    // Only there `id` is a keyword. In later drafts it is often a member of an example.
    let draft = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    let is_early = draft.contains("draft-04") || draft.contains("draft-03");
    let mut pending = vec![schema];
    let mut seen = 0;
    while let Some(value) = pending.pop() {
        seen += 1;
        if seen > values_max.saturating_mul(VALUES_FACTOR) {
            return Err(SchemaError::TooManySubschemas(values_max));
        }
        match value {
            Value::Object(members) => {
                if seen > 1 {
                    let mut embedded =
                        ["$id", "$schema"].into_iter().chain(is_early.then_some("id"));
                    if let Some(keyword) = embedded.find(|keyword| is_text(members, keyword)) {
                        return Err(SchemaError::Embedded(keyword));
                    }
                }
                for keyword in ["$anchor", "$dynamicAnchor"] {
                    if let Some(name) = members.get(keyword).and_then(Value::as_str) {
                        let name = format!("#{name}");
                        if targets.insert(name.clone(), value).is_some() {
                            return Err(SchemaError::AmbiguousAnchor(name));
                        }
                    }
                }
                for keyword in ["$id", "id"].into_iter().filter(|_| seen == 1) {
                    if let Some(name) = members.get(keyword).and_then(Value::as_str) {
                        targets.insert(name.trim_end_matches('#').to_owned(), value);
                    }
                }
                pending.extend(members.values());
            }
            Value::Array(elements) => pending.extend(elements),
            _ => {}
        }
    }
    Ok(targets)
}

/// Values in a value, and a sixteenth of the bytes of its texts.
fn size(value: &Value) -> u64 {
    let mut count = 0;
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        count += 1;
        match value {
            Value::Array(elements) => pending.extend(elements),
            Value::Object(members) => {
                count += members.keys().map(|name| name.len() as u64 / 16).sum::<u64>();
                pending.extend(members.values());
            }
            Value::String(text) => count += text.len() as u64 / 16,
            _ => {}
        }
    }
    count
}

/// A name as a token of a JSON pointer (RFC 6901).
fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
