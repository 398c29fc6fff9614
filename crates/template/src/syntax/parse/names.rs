//! Resolves names in tags: to paths, loop variables and the meta object.

use super::{Reader, Scope};
use crate::helpers::Helper;
use crate::syntax::expression::{Base, Expression, Path, TurnVariable};
use crate::syntax::path::{self, RawPath};
use crate::syntax::scan::{Fault, Tag};
use crate::syntax::suggest;
use crate::{Cause, Place};

/// Members of the meta object.
const ANTAR: [&str; 9] = [
    "delivery_id",
    "event_id",
    "event_type",
    "timestamp",
    "tenant",
    "webhook",
    "attributes",
    "secret",
    "attempt",
];

/// A path below the root that the template reads, with its position.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) steps: Vec<String>,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) scalar_only: bool,
    pub(crate) relative: bool,
}

impl Reader<'_> {
    pub(super) fn named(&mut self, raw: &str, tag: Tag, direct: bool) -> Expression {
        let path = path::read(raw);
        let at = self.place_of(raw, tag);
        if let Some(name) = path.local.clone() {
            return self.local(&name, path, at, direct);
        }
        if path.up == 0 && !path.this {
            if let Some(found) = self.block_parameter(&path, at, direct) {
                return found;
            }
            if path.steps.first().is_some_and(|step| step == "antar") {
                return self.meta(&path.steps[1..], at, direct);
            }
        }
        let Some(frame) = self.frames.len().checked_sub(path.up + 1) else {
            return self.fault(Cause::AboveRoot, at, "`../` leads out of the template here");
        };
        self.data(frame, path.up, path.steps, at, direct)
    }

    /// A path below the frame with this index.
    fn data(
        &mut self,
        frame: usize,
        up: usize,
        steps: Vec<String>,
        at: Tag,
        direct: bool,
    ) -> Expression {
        let scalar_only = direct && matches!(self.place, Place::Url { .. } | Place::Header);
        if let Some(base) = &self.frames[frame].path {
            let steps = [base.as_slice(), &steps].concat();
            let (start, end) = (at.start, at.end);
            self.variables.push(Use { steps, start, end, scalar_only, relative: frame != 0 });
        }
        let base = if frame == 0 { Base::Root } else { Base::Frame(up) };
        let dotted = steps.join(".");
        Expression::Path(Path { base, steps, dotted })
    }

    fn local(&mut self, name: &str, path: RawPath, at: Tag, direct: bool) -> Expression {
        if name == "root" && path.up == 0 {
            if path.steps.first().is_some_and(|step| step == "antar") {
                return self.meta(&path.steps[1..], at, direct);
            }
            return self.data(0, self.frames.len() - 1, path.steps, at, direct);
        }
        let variable = match name {
            "index" => TurnVariable::Index,
            "key" => TurnVariable::Key,
            "first" => TurnVariable::First,
            "last" => TurnVariable::Last,
            _ => {
                let detail = format!(
                    "there is no `@{name}`; there are @index, @key, @first, @last and @root"
                );
                return self.fault(Cause::UnknownLocal, at, detail);
            }
        };
        if !path.steps.is_empty() {
            return self.fault(Cause::NothingBelow, at, format!("`@{name}` has nothing below it"));
        }
        let outer = self.frames.len().saturating_sub(path.up);
        if !self.frames[..outer].iter().any(|frame| frame.is_loop) {
            return self.fault(
                Cause::OutsideEach,
                at,
                format!("`@{name}` stands outside of any `each`"),
            );
        }
        let between = self.frames[outer..].iter().filter(|frame| frame.is_loop).count();
        Expression::Turn(between, variable)
    }

    fn block_parameter(&mut self, path: &RawPath, at: Tag, direct: bool) -> Option<Expression> {
        let name = path.steps.first()?;
        let position = |frame: &Scope| frame.names.iter().position(|known| known == name);
        let frame = self.frames.iter().rposition(|frame| position(frame).is_some())?;
        if position(&self.frames[frame]) == Some(0) {
            let up = self.frames.len() - 1 - frame;
            return Some(self.data(frame, up, path.steps[1..].to_vec(), at, direct));
        }
        let inner_loops = self.frames[frame + 1..].iter().filter(|frame| frame.is_loop).count();
        if !self.frames[frame].is_loop || path.steps.len() > 1 {
            return Some(self.fault(
                Cause::NothingBelow,
                at,
                format!("`{name}` is a loop's index or key, nothing more"),
            ));
        }
        Some(Expression::Turn(inner_loops, TurnVariable::Key))
    }

    fn meta(&mut self, steps: &[String], at: Tag, direct: bool) -> Expression {
        let names: Vec<&str> = steps.iter().map(String::as_str).collect();
        match names.as_slice() {
            ["secret", name] if direct => {
                let name = (*name).to_owned();
                if !self.secrets.contains(&name) {
                    self.secrets.push(name.clone());
                }
                Expression::Secret(name)
            }
            ["secret", name] => Expression::Secret((*name).to_owned()),
            ["secret", ..] => self.fault(
                Cause::SecretName,
                at,
                "a secret is named like this: `antar.secret.NAME`",
            ),
            ["attempt"] if matches!(self.place, Place::Header) => {
                self.uses_attempt = true;
                Expression::Attempt
            }
            ["attempt"] => self.fault(
                Cause::AttemptOutsideHeader,
                at,
                "`antar.attempt` changes from attempt to attempt and stands in header values only",
            ),
            [] | ["attributes", ..] => self.meta_path(steps),
            [name] if ANTAR.contains(name) => self.meta_path(steps),
            [name, ..] => {
                let detail = match ANTAR.contains(name) {
                    true => format!("`antar.{name}` has nothing below it"),
                    false => format!("there is no `antar.{name}`"),
                };
                let mut fault = Fault::new(Cause::UnknownMeta, at.start, at.end, detail);
                if let Some(near) = suggest::nearest(name, ANTAR).filter(|near| near != name) {
                    fault = fault.suggest(format!("did you mean `antar.{near}`?"));
                }
                self.faults.push(fault);
                super::null()
            }
        }
    }

    fn meta_path(&mut self, steps: &[String]) -> Expression {
        self.uses_meta = true;
        let dotted = steps.join(".");
        Expression::Path(Path { base: Base::Antar, steps: steps.to_vec(), dotted })
    }

    /// Records the paths that a helper reads below its first argument: `lookup user "name"` reads
    /// `user.name`, `join items key="sku"` reads `items[].sku`.
    pub(super) fn keys_below(
        &mut self,
        helper: Helper,
        arguments: &[Expression],
        options: &[(&'static str, Expression)],
        tag: Tag,
        scalar_only: bool,
    ) {
        let Some(base) = arguments.first().and_then(|first| self.path_from_root(first)) else {
            return;
        };
        let constant = |expression: &Expression| match expression {
            Expression::Literal(document) => {
                let root = document.root();
                root.as_str().map(|text| text.into_owned()).or(root.as_number().map(str::to_owned))
            }
            _ => None,
        };
        let steps = match helper {
            Helper::Lookup => {
                let keys: Option<Vec<String>> = arguments[1..].iter().map(constant).collect();
                keys.map(|keys| [base, keys].concat())
            }
            Helper::Join => {
                let key = options.iter().find(|option| option.0 == "key");
                let key = key.and_then(|key| constant(&key.1));
                key.map(|key| [base, vec![super::EACH.to_owned(), key]].concat())
            }
            _ => None,
        };
        if let Some(steps) = steps {
            let relative =
                matches!(&arguments[0], Expression::Path(path) if path.base != Base::Root);
            let (start, end) = (tag.start, tag.end);
            let scalar_only = scalar_only && helper == Helper::Lookup;
            self.variables.push(Use { steps, start, end, scalar_only, relative });
        }
    }

    /// The steps of an expression from the root, if it is a path.
    pub(super) fn path_from_root(&self, expression: &Expression) -> Option<Vec<String>> {
        let Expression::Path(path) = expression else { return None };
        let base = match path.base {
            Base::Root => &[],
            Base::Frame(up) => {
                self.frames.get(self.frames.len().checked_sub(up + 1)?)?.path.as_deref()?
            }
            Base::Antar => return None,
        };
        Some([base, &path.steps].concat())
    }

    /// Position of `raw` in its tag: its first occurrence as a word outside quotes, after the names that
    /// are already located.
    fn place_of(&mut self, raw: &str, tag: Tag) -> Tag {
        let from = self.read_to.clamp(tag.start, tag.end);
        let found = word_in(&self.source[tag.start..tag.end], raw, from - tag.start)
            .or_else(|| word_in(&self.source[tag.start..tag.end], raw, 0));
        let Some(at) = found else { return tag };
        let (start, end) = (tag.start + at, tag.start + at + raw.len());
        self.read_to = end;
        Tag { kind: tag.kind, start, end }
    }

    /// The byte after the helper's or block's name.
    pub(super) fn after_name(&self, name: &str, tag: Tag) -> usize {
        let from = self.read_to.clamp(tag.start, tag.end) - tag.start;
        let found = word_in(&self.source[tag.start..tag.end], name, from);
        found.map_or(tag.start + from, |at| tag.start + at + name.len())
    }

    /// Position of an option in its tag, its quoted text included.
    pub(super) fn option_place(&self, name: &str, tag: Tag) -> Tag {
        let text = &self.source[tag.start..tag.end];
        let Some(at) = word_in(text, name, 0) else { return tag };
        let value = text[at + name.len()..].trim_start_matches([' ', '\n', '\t', '=']);
        let value_at = text.len() - value.len();
        let length = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => crate::syntax::scan::quoted_length(value, quote),
            _ => value.find([' ', '~', '}', '\n']).unwrap_or(value.len()),
        };
        let end = tag.start + value_at + length;
        Tag { kind: tag.kind, start: tag.start + at, end }
    }
}

/// The byte of the first whole word `raw` at or after byte `from` of a tag, outside of quotes.
fn word_in(tag: &str, raw: &str, from: usize) -> Option<usize> {
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@');
    let mut at = 0;
    while let Some(c) = tag[at..].chars().next() {
        let rest = &tag[at..];
        let whole = !tag[..at].ends_with(joins) && rest.starts_with(raw);
        if at >= from && whole && !rest[raw.len()..].starts_with(joins) && !raw.is_empty() {
            return Some(at);
        }
        at += match c {
            '"' | '\'' => crate::syntax::scan::quoted_length(rest, c),
            '[' => rest.find(']').unwrap_or(1),
            _ => c.len_utf8(),
        };
    }
    None
}
