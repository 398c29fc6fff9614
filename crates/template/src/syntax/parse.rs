//! Converts the tree of the Handlebars parser into nodes of the plan: resolves names to paths and helpers,
//! and adds the positions of tags.

use std::collections::HashMap;

use antar_json::Document;
use handlebars::template::{
    BlockParam, HelperTemplate, Parameter, Subexpression, TemplateElement as Element,
};
use handlebars::{Template as Tree, TemplateErrorReason};

use super::expression::{Call, Expression};
use super::scan::{Fault, Tag, TagKind};
use super::suggest;
use crate::helpers::{self, Helper};
use crate::plan::{Block, Hole, If, Node, Text};
use crate::{Cause, Limits, Place};

mod blocks;
mod names;
mod unreadable;

pub(crate) use names::Use;

const BLOCKS: [&str; 4] = ["if", "unless", "each", "with"];

/// Step of a path that stands for each element of an array, or member of an object.
pub(crate) const EACH: &str = "[]";

pub(crate) struct Parsed {
    pub(crate) nodes: Vec<Node>,
    pub(crate) variables: Vec<Use>,
    pub(crate) secrets: Vec<String>,
    pub(crate) uses_attempt: bool,
    pub(crate) uses_meta: bool,
}

pub(crate) fn parse(source: &str, place: &Place, limits: &Limits) -> Result<Parsed, Vec<Fault>> {
    let tags = super::scan::tags(source, limits).map_err(|fault| vec![fault])?;
    // The parser would silently read `a[0]` as two arguments.
    let indexed = tags.iter().filter(|tag| tag.kind != TagKind::Comment);
    let indexed = indexed.filter(|tag| unreadable::is_indexed(source, tag.start, tag.end));
    let indexed: Vec<_> =
        indexed.map(|tag| unreadable::fault(source, tag.start, tag.end)).collect();
    if !indexed.is_empty() {
        return Err(indexed);
    }
    let tree = tree(source, &tags).map_err(|fault| vec![fault])?;
    let mut reader = Reader {
        source,
        place,
        tags: &tags,
        taken: 0,
        frames: vec![Scope { is_loop: false, path: Some(Vec::new()), names: Vec::new() }],
        faults: Vec::new(),
        variables: Vec::new(),
        secrets: Vec::new(),
        uses_attempt: false,
        uses_meta: false,
        read_to: 0,
    };
    let nodes = reader.nodes(&tree);
    if reader.taken != tags.len() && reader.faults.is_empty() {
        let tag = tags[reader.taken.min(tags.len() - 1)];
        reader.faults.push(unreadable::fault(source, tag.start, tag.end));
    }
    if reader.faults.is_empty() {
        Ok(Parsed {
            nodes,
            variables: reader.variables,
            secrets: reader.secrets,
            uses_attempt: reader.uses_attempt,
            uses_meta: reader.uses_meta,
        })
    } else {
        Err(reader.faults)
    }
}

/// Runs the Handlebars parser. Turns its panics on odd input into an error: a tenant's text must not end a
/// request handler.
fn tree(source: &str, tags: &[Tag]) -> Result<Tree, Fault> {
    if tags.is_empty() && source.is_empty() {
        return Ok(Tree::new());
    }
    let error = match std::panic::catch_unwind(|| Tree::compile(source)) {
        Ok(Ok(tree)) => return Ok(tree),
        Ok(Err(error)) => Some(error),
        Err(_) => None,
    };
    let at = error.map_or(0, |error| place_of(&error, source));
    let tag = tags.iter().find(|tag| at < tag.end).or(tags.last());
    let (start, end) = tag.map_or((at, at), |tag| (tag.start, tag.end));
    Err(unreadable::fault(source, start, end))
}

/// The byte at which the parser reports the error.
fn place_of(error: &handlebars::TemplateError, source: &str) -> usize {
    if let TemplateErrorReason::InvalidParam(argument) = error.reason() {
        return source.find(argument.as_str()).unwrap_or_default();
    }
    let Some((line, column)) = error.pos() else { return 0 };
    let lines = source.split_inclusive('\n').take(line.saturating_sub(1));
    let line_start = lines.map(str::len).sum::<usize>();
    let rest = &source[line_start..];
    let column = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |c| c.0);
    line_start + column
}

/// A context that a block opens, as far as it is known while compiling.
struct Scope {
    is_loop: bool,
    /// The steps from the root, if they are known.
    path: Option<Vec<String>>,
    /// Block parameters: `as |item index|`.
    names: Vec<String>,
}

struct Reader<'s> {
    source: &'s str,
    place: &'s Place,
    tags: &'s [Tag],
    taken: usize,
    frames: Vec<Scope>,
    faults: Vec<Fault>,
    variables: Vec<Use>,
    secrets: Vec<String>,
    uses_attempt: bool,
    uses_meta: bool,
    /// The byte of the source after the last name that was located.
    read_to: usize,
}

impl Reader<'_> {
    /// The tag of the next element. If tree and tags disagree, compiling fails at the end.
    fn take(&mut self) -> Tag {
        let end = self.source.len();
        let none = Tag { kind: TagKind::Hole, start: end, end };
        let tag = self.tags.get(self.taken).copied().unwrap_or(none);
        self.taken += 1;
        tag
    }

    fn next_kind(&self) -> Option<TagKind> {
        self.tags.get(self.taken).map(|tag| tag.kind)
    }

    fn fault(&mut self, cause: Cause, tag: Tag, detail: impl Into<String>) -> Expression {
        self.faults.push(Fault::new(cause, tag.start, tag.end, detail));
        null()
    }

    fn nodes(&mut self, tree: &Tree) -> Vec<Node> {
        let mut nodes = Vec::with_capacity(tree.elements.len());
        for element in &tree.elements {
            match element {
                Element::RawString(text) if text.is_empty() => {}
                Element::RawString(text) => nodes.push(self.text(text)),
                Element::Comment(_) => {
                    self.take();
                }
                Element::Expression(tag) | Element::HtmlExpression(tag) => {
                    nodes.push(self.hole(tag));
                }
                Element::HelperBlock(block) => {
                    let tag = self.take();
                    nodes.extend(self.block(block, tag, false));
                }
                _ => {
                    let tag = self.take();
                    self.fault(
                        Cause::Unsupported,
                        tag,
                        "partials, decorators and raw blocks are not supported",
                    );
                }
            }
        }
        nodes
    }

    fn text(&self, text: &str) -> Node {
        let before = self.taken.checked_sub(1).and_then(|last| self.tags.get(last));
        let after = self.tags.get(self.taken);
        Node::Text(Text {
            text: placed(text, self.place),
            start: before.map_or(0, |tag| tag.end),
            end: after.map_or(self.source.len(), |tag| tag.start),
            events: None,
        })
    }

    fn hole(&mut self, spec: &HelperTemplate) -> Node {
        let tag = self.take();
        let expression = self.tag_value(spec, tag, true);
        if expression.is_array() && matches!(self.place, Place::Url { .. } | Place::Header) {
            let detail = "this is a list; a URL or header takes text, numbers and booleans";
            self.faults.push(
                Fault::new(Cause::ListInUrlOrHeader, tag.start, tag.end, detail)
                    .suggest("put it through `join`"),
            );
        }
        Node::Hole(Hole {
            expression,
            token: self.source[tag.start..tag.end].to_owned(),
            start: tag.start,
            slot: None,
            lone: false,
        })
    }

    /// Reads a path, or a helper with arguments. `direct`: whether its value is what gets written.
    fn tag_value(&mut self, spec: &HelperTemplate, tag: Tag, direct: bool) -> Expression {
        if spec.params.is_empty() && spec.hash.is_empty() {
            return self.value(&spec.name, tag, direct);
        }
        let name = spec.name.as_name().unwrap_or_default();
        self.read_to = self.after_name(name, tag);
        if BLOCKS.contains(&name) {
            return self.fault(
                Cause::BlockAsTag,
                tag,
                format!("`{name}` is a block: `{{{{#{name} …}}}}…{{{{/{name}}}}}`"),
            );
        }
        if name == "json" {
            return self.json(spec, tag, direct);
        }
        let Some(helper) = helpers::find(name) else {
            return self.unknown_helper(name, tag);
        };
        let passes_on = direct && helper.passes_on;
        // Before its last argument, `and` passes on only values that are false, null or empty: no object.
        let first =
            if helper.helper == Helper::And { spec.params.len().saturating_sub(1) } else { 0 };
        let placed = |at: usize| passes_on && at >= first;
        let parameters = spec.params.iter().enumerate();
        let arguments: Vec<_> =
            parameters.map(|(at, param)| self.value_of_argument(param, tag, placed(at))).collect();
        let options = self.options(helper, &spec.hash, tag);
        if let Err((cause, detail)) =
            helpers::check(helper, &arguments.iter().map(Expression::literal).collect::<Vec<_>>())
        {
            return self.fault(cause, tag, detail);
        }
        let scalar_only = direct && matches!(self.place, Place::Url { .. } | Place::Header);
        self.keys_below(helper.helper, &arguments, &options, tag, scalar_only);
        let token = self.source[tag.start..tag.end].to_owned();
        Expression::Call(Box::new(Call { helper: helper.helper, arguments, options, token }))
    }

    /// Values keep their type everywhere, so `json` changes nothing.
    fn json(&mut self, spec: &HelperTemplate, tag: Tag, direct: bool) -> Expression {
        match (spec.params.as_slice(), spec.hash.keys().next()) {
            ([argument], None) => self.value(argument, tag, direct),
            (_, Some(name)) => {
                self.fault(Cause::UnknownOption, tag, format!("`json` has no option `{name}`"))
            }
            (arguments, None) => {
                let detail = format!("`json` takes one argument, not {}", arguments.len());
                self.fault(Cause::ArgumentCount, tag, detail)
            }
        }
    }

    fn unknown_helper(&mut self, name: &str, tag: Tag) -> Expression {
        let known = || helpers::names().chain(BLOCKS).chain(["json"]);
        let mut fault = Fault::new(
            Cause::UnknownHelper,
            tag.start,
            tag.end,
            format!("there is no helper `{name}`"),
        );
        let near = suggest::nearest(name, known()).or_else(|| suggest::contained(name, known()));
        if let Some(near) = near {
            fault = fault.suggest(format!("did you mean `{near}`?"));
        }
        self.faults.push(fault);
        null()
    }

    fn options(
        &mut self,
        helper: &'static helpers::Spec,
        given: &HashMap<String, Parameter>,
        tag: Tag,
    ) -> Vec<(&'static str, Expression)> {
        let mut options = Vec::with_capacity(given.len());
        for (name, value) in given {
            match helper.options.iter().find(|known| *known == name) {
                Some(known) => options.push((*known, self.value_of_argument(value, tag, false))),
                None => {
                    self.fault(
                        Cause::UnknownOption,
                        tag,
                        format!("`{}` has no option `{name}`", helper.name),
                    );
                }
            }
        }
        options.sort_unstable_by_key(|option| option.0);
        options
    }

    fn value_of_argument(&mut self, value: &Parameter, tag: Tag, direct: bool) -> Expression {
        let value = self.value(value, tag, direct);
        match value {
            Expression::Secret(_) => self.fault(
                Cause::SecretRead,
                tag,
                "a secret is put in when the request is sent, so no helper or block can read it: \
                 write it as a tag of its own",
            ),
            other => other,
        }
    }

    fn value(&mut self, value: &Parameter, tag: Tag, direct: bool) -> Expression {
        match value {
            Parameter::Literal(json) => Expression::Literal(Document::from(json)),
            Parameter::Subexpression(Subexpression { element, .. }) => match element.as_ref() {
                Element::Expression(spec) => self.tag_value(spec, tag, direct),
                _ => self.fault(Cause::Unreadable, tag, "this can't be read"),
            },
            named => {
                let raw = named.as_name().unwrap_or_default().to_owned();
                self.named(&raw, tag, direct)
            }
        }
    }

    fn block(&mut self, spec: &HelperTemplate, tag: Tag, chained: bool) -> Option<Node> {
        let name = spec.name.as_name().unwrap_or_default().to_owned();
        self.read_to = self.after_name(&name, tag);
        if !BLOCKS.contains(&name.as_str()) {
            self.unknown_block(&name, tag);
            self.branches(spec, None, chained);
            return None;
        }
        let subject = match spec.params.as_slice() {
            [one] => self.value_of_argument(one, tag, false),
            _ => self.one_argument(&name, tag),
        };
        let (start, end) = (tag.start, tag.end);
        if matches!(name.as_str(), "if" | "unless") {
            let zero_is_true = self.include_zero(spec, tag);
            let (then, otherwise) = self.branches(spec, None, chained);
            let negated = name == "unless";
            let condition = subject;
            return Some(Node::If(If {
                condition,
                negated,
                zero_is_true,
                then,
                otherwise,
                start,
                end,
            }));
        }
        let is_loop = name == "each";
        let separator = self.separator(spec, tag, is_loop);
        let scope = self.scope(&subject, is_loop, spec.block_param.as_ref());
        let (body, otherwise) = self.branches(spec, Some(scope), chained);
        let block = Block { subject, separator, body, otherwise, start, end };
        Some(if is_loop { Node::Each(block) } else { Node::With(block) })
    }

    fn branches(
        &mut self,
        spec: &HelperTemplate,
        scope: Option<Scope>,
        chained: bool,
    ) -> (Vec<Node>, Vec<Node>) {
        let depth = self.frames.len();
        self.frames.extend(scope);
        let body = spec.template.as_ref().map(|tree| self.nodes(tree)).unwrap_or_default();
        self.frames.truncate(depth);
        let otherwise = match (self.next_kind(), &spec.inverse) {
            (Some(TagKind::ElseChain), Some(tree)) => {
                let tag = self.take();
                match tree.elements.as_slice() {
                    [Element::HelperBlock(inner)] => {
                        self.block(inner, tag, true).into_iter().collect()
                    }
                    _ => Vec::new(),
                }
            }
            (Some(TagKind::Else), inverse) => {
                self.take();
                inverse.as_ref().map(|tree| self.nodes(tree)).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        if !chained {
            self.take();
        }
        (body, otherwise)
    }

    fn scope(&self, subject: &Expression, is_loop: bool, names: Option<&BlockParam>) -> Scope {
        let path = self.path_from_root(subject);
        let each = is_loop.then(|| EACH.to_owned());
        let path = path.map(|steps| steps.into_iter().chain(each).collect());
        let name = |parameter: &Parameter| parameter.as_name().unwrap_or_default().to_owned();
        let names = match names {
            None => Vec::new(),
            Some(BlockParam::Single(one)) => vec![name(one)],
            Some(BlockParam::Pair((one, two))) => vec![name(one), name(two)],
            Some(_) => Vec::new(),
        };
        Scope { is_loop, path, names }
    }
}

/// A literal text as it is written in its place.
fn placed(text: &str, place: &Place) -> String {
    match place {
        Place::Header => crate::escape::header_line(text).into_owned(),
        _ => text.to_owned(),
    }
}

fn null() -> Expression {
    Expression::Literal(Document::from(&serde_json::Value::Null))
}
