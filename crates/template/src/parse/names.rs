//! What a name in a tag means: a path, a loop's variable, the meta object.

use super::{Reader, Scope};
use crate::expression::{Base, Expression, Path, TurnVariable};
use crate::path::{self, RawPath};
use crate::scan::{Fault, Tag};
use crate::{Place, suggest};

/// What the meta object holds.
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

/// A path of the root that the template reads, and where.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) path: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) scalar_only: bool,
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
            return self.fault(at, "`../` leads out of the template here");
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
            let path = joined(base, &steps);
            self.variables.push(Use { path, start: at.start, end: at.end, scalar_only });
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
                return self.fault(at, detail);
            }
        };
        if !path.steps.is_empty() {
            return self.fault(at, format!("`@{name}` has nothing below it"));
        }
        let outer = self.frames.len().saturating_sub(path.up);
        if !self.frames[..outer].iter().any(|frame| frame.is_loop) {
            return self.fault(at, format!("`@{name}` stands outside of any `each`"));
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
            return Some(
                self.fault(at, format!("`{name}` is a loop's index or key, nothing more")),
            );
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
            ["secret", ..] => self.fault(at, "a secret is named like this: `antar.secret.NAME`"),
            ["attempt"] if matches!(self.place, Place::Header) => {
                self.uses_attempt = true;
                Expression::Attempt
            }
            ["attempt"] => self.fault(
                at,
                "`antar.attempt` changes from attempt to attempt and stands in header values only",
            ),
            [] | ["attributes", ..] => meta_path(steps),
            [name] if ANTAR.contains(name) => meta_path(steps),
            [name, ..] => {
                let detail = match ANTAR.contains(name) {
                    true => format!("`antar.{name}` has nothing below it"),
                    false => format!("there is no `antar.{name}`"),
                };
                let mut fault = Fault::new(at.start, at.end, detail);
                if let Some(near) = suggest::nearest(name, ANTAR).filter(|near| near != name) {
                    fault = fault.suggest(format!("did you mean `antar.{near}`?"));
                }
                self.faults.push(fault);
                super::null()
            }
        }
    }

    /// The path of an expression from the root, where it has one.
    pub(super) fn path_from_root(&self, expression: &Expression) -> Option<String> {
        let Expression::Path(path) = expression else { return None };
        let base = match path.base {
            Base::Root => "",
            Base::Frame(up) => {
                self.frames.get(self.frames.len().checked_sub(up + 1)?)?.path.as_deref()?
            }
            Base::Antar => return None,
        };
        Some(joined(base, &path.steps))
    }

    /// Where `raw` stands inside its tag.
    fn place_of(&self, raw: &str, tag: Tag) -> Tag {
        let text = &self.source[tag.start..tag.end];
        let joins = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@');
        let found = text.match_indices(raw).find(|(at, _)| {
            !text[..*at].ends_with(joins) && !text[at + raw.len()..].starts_with(joins)
        });
        found.map_or(tag, |(at, _)| Tag {
            kind: tag.kind,
            start: tag.start + at,
            end: tag.start + at + raw.len(),
        })
    }
}

fn joined(base: &str, steps: &[String]) -> String {
    let mut path = base.to_owned();
    for step in steps {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(step);
    }
    path
}

fn meta_path(steps: &[String]) -> Expression {
    let dotted = steps.join(".");
    Expression::Path(Path { base: Base::Antar, steps: steps.to_vec(), dotted })
}
