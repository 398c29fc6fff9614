//! Renders a plan over one event.

use std::cell::OnceCell;
use std::collections::HashSet;

use antar_json::{Document, Kind, OutOfSteps, Steps, Value};
use serde::{Deserialize, Serialize};

use crate::grammar::url::{self, Wrong};
use crate::helpers::{self, Failure};
use crate::output::{Output, Parameters};
use crate::pieces::Rendered;
use crate::plan::{Block, Hole, If, Node, Slot};
use crate::syntax::expression::{Base, Call, Expression, Path, TurnVariable};
use crate::value::Val;
use crate::{Limits, RenderError};

/// How a token without a value is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unresolved {
    /// The token stays as written, escaped for its place; in the position of a JSON value, as a string.
    Literal,
    /// `null` in the position of a JSON value, otherwise nothing.
    Empty,
    /// Drops the JSON member, array element, query parameter, form field or header whose value is that
    /// token alone, also if the value is null; elsewhere like `Empty`.
    Omit,
    /// Rendering fails.
    Fail,
}

/// The data that a template can read.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The default payload.
    pub root: Value<'a>,
    /// An object: `delivery_id`, `event_id`, `event_type`, `timestamp`, `tenant`, `webhook`,
    /// `attributes`.
    pub antar: Value<'a>,
    /// The number of the attempt, counted from 1; for headers.
    pub attempt: Option<u32>,
}

/// Special treatment that the plan's place requires.
pub(crate) enum Check<'t> {
    None,
    Form,
    Url { hosts: Option<&'t [String]> },
}

pub(crate) fn render(
    nodes: &[Node],
    scope: &Scope<'_>,
    unresolved: Unresolved,
    limits: &Limits,
    steps: &Steps,
    check: &Check<'_>,
    capacity: usize,
) -> Result<Rendered, RenderError> {
    let parameters = matches!(check, Check::Form).then(Parameters::form);
    let output = Output::new(unresolved == Unresolved::Omit, parameters, capacity);
    let mut run = Run {
        scope,
        unresolved,
        limits,
        steps,
        output,
        tokens: Vec::new(),
        noted: HashSet::new(),
        turns: 0,
        work: 0,
        omitted: false,
    };
    run.nodes(nodes, &Frame { this: scope.root, turn: None, outer: None })?;
    if let Check::Url { hosts } = check {
        let secrets: Vec<usize> = run.output.secrets.iter().map(|secret| secret.0).collect();
        url::check(&run.output.text, &secrets, *hosts).map_err(|wrong| match wrong {
            Wrong::Segment(segment) => RenderError::PathSegment { segment },
            Wrong::Host(host) => RenderError::Host { host },
        })?;
    }
    Ok(Rendered { pieces: run.output.into_pieces(), unresolved: run.tokens, omitted: run.omitted })
}

/// A context and its enclosing contexts.
struct Frame<'c> {
    this: Value<'c>,
    turn: Option<Turn<'c>>,
    outer: Option<&'c Frame<'c>>,
}

struct Turn<'c> {
    index: usize,
    key: Option<Value<'c>>,
    last: bool,
}

impl<'c> Frame<'c> {
    fn out(&'c self, count: usize) -> Option<&'c Frame<'c>> {
        let mut frame = self;
        for _ in 0..count {
            frame = frame.outer?;
        }
        Some(frame)
    }

    /// The turn of the loop that is `outward` loops further out.
    fn turn(&'c self, outward: usize) -> Option<&'c Turn<'c>> {
        let frames = std::iter::successors(Some(self), |frame| frame.outer);
        frames.filter_map(|frame| frame.turn.as_ref()).nth(outward)
    }
}

struct Run<'s> {
    scope: &'s Scope<'s>,
    unresolved: Unresolved,
    limits: &'s Limits,
    /// The caller's budget, beside the template's own limits.
    steps: &'s Steps,
    output: Output,
    tokens: Vec<String>,
    /// All of `tokens`.
    noted: HashSet<String>,
    turns: usize,
    work: usize,
    omitted: bool,
}

type Step<T = ()> = std::result::Result<T, RenderError>;

impl<'s> Run<'s> {
    fn nodes(&mut self, nodes: &[Node], frame: &Frame<'_>) -> Step {
        for node in nodes {
            let before = self.output.text.len();
            match node {
                Node::Text(text) => self.output.text(text),
                Node::Hole(hole) => self.hole(hole, frame)?,
                Node::If(block) => self.condition(block, frame)?,
                Node::Each(block) => self.each(block, frame)?,
                Node::With(block) => self.with(block, frame)?,
            }
            let written = self.output.text.len().saturating_sub(before);
            self.spend(1 + written / 16)?;
            if self.output.text.len() > self.limits.output_bytes_max {
                return Err(RenderError::TooLong { limit: self.limits.output_bytes_max });
            }
        }
        Ok(())
    }

    fn spend(&mut self, work: usize) -> Step {
        self.work = self.work.saturating_add(work);
        if self.work > self.limits.work_max {
            return Err(RenderError::TooMuchWork { limit: self.limits.work_max });
        }
        self.steps.take(work as u64)?;
        Ok(())
    }

    fn condition(&mut self, block: &If, frame: &Frame<'_>) -> Step {
        let holds = self.value(&block.condition, frame)?.truthy(block.zero_is_true);
        let nodes = if holds != block.negated { &block.then } else { &block.otherwise };
        self.nodes(nodes, frame)
    }

    fn each(&mut self, block: &Block, frame: &Frame<'_>) -> Step {
        let subject = self.value(&block.subject, frame)?;
        let Some(list) = subject.view() else { return self.nodes(&block.otherwise, frame) };
        let (mut index, mut joined) = (0, false);
        if list.kind() == Kind::Object {
            let mut members = list.members().peekable();
            while let Some((key, this)) = members.next() {
                let turn = Turn { index, key: Some(key), last: members.peek().is_none() };
                self.turn(block, this, turn, frame, &mut joined)?;
                index += 1;
            }
        } else {
            let mut elements = list.elements().peekable();
            while let Some(this) = elements.next() {
                let turn = Turn { index, key: None, last: elements.peek().is_none() };
                self.turn(block, this, turn, frame, &mut joined)?;
                index += 1;
            }
        }
        if index == 0 { self.nodes(&block.otherwise, frame) } else { Ok(()) }
    }

    /// `joined`: whether an earlier turn wrote anything, so that this one needs a separator.
    fn turn<'c>(
        &mut self,
        block: &Block,
        this: Value<'c>,
        turn: Turn<'c>,
        outer: &'c Frame<'c>,
        joined: &mut bool,
    ) -> Step {
        self.turns += 1;
        if self.turns > self.limits.turns_max {
            return Err(RenderError::TooManyTurns { limit: self.limits.turns_max });
        }
        let frame = Frame { this, turn: Some(turn), outer: Some(outer) };
        let Some(separator) = &block.separator else { return self.nodes(&block.body, &frame) };
        let mark = self.output.mark();
        if *joined {
            self.output.text(separator);
        }
        let before = self.output.activity;
        self.nodes(&block.body, &frame)?;
        if self.output.activity == before {
            self.output.rewind(&mark);
        } else {
            *joined = true;
        }
        Ok(())
    }

    fn with(&mut self, block: &Block, frame: &Frame<'_>) -> Step {
        let subject = self.value(&block.subject, frame)?;
        if !subject.truthy(true) {
            return self.nodes(&block.otherwise, frame);
        }
        let made = OnceCell::<Document>::new();
        let this = match subject.view() {
            Some(view) => view,
            None => made.get_or_init(|| subject.to_document()).root(),
        };
        self.nodes(&block.body, &Frame { this, turn: None, outer: Some(frame) })
    }

    fn hole(&mut self, hole: &Hole, frame: &Frame<'_>) -> Step {
        let slot = hole.slot.unwrap_or(Slot::Text);
        if let Expression::Secret(name) = &hole.expression {
            self.output.secret(name, slot.escape());
            return Ok(());
        }
        let value = self.value(&hole.expression, frame)?;
        if value.is_missing() {
            self.note(&hole.token);
            match self.unresolved {
                Unresolved::Fail => {
                    return Err(RenderError::Unresolved { token: hole.token.clone() });
                }
                Unresolved::Literal => {
                    slot.escape().write(&mut self.output.text, &hole.token);
                    self.output.activity += 1;
                    return Ok(());
                }
                Unresolved::Empty | Unresolved::Omit => {}
            }
        }
        let absent = value.is_absent();
        if absent && hole.lone && self.unresolved == Unresolved::Omit && self.omit(slot) {
            return Ok(());
        }
        if value.is_container() && slot.scalar_only() {
            return Err(RenderError::NotScalar { token: hole.token.clone() });
        }
        let before = self.output.text.len();
        self.write(slot, &value);
        self.output.activity += self.output.text.len() - before;
        Ok(())
    }

    fn write(&mut self, slot: Slot, value: &Val<'_>) {
        let out = &mut self.output.text;
        match slot {
            Slot::JsonValue => value.to_json(out),
            Slot::JsonText | Slot::JsonKey => value.to_json_text(out),
            Slot::JsonString => {
                out.push('"');
                value.to_json_text(out);
                out.push('"');
            }
            _ => slot.escape().write(out, &value.to_text()),
        }
    }

    fn omit(&mut self, slot: Slot) -> bool {
        match slot {
            Slot::JsonValue | Slot::JsonString => self.output.omit_element(),
            Slot::Url | Slot::Form => self.output.omit_parameter(),
            Slot::Header => {
                self.omitted = true;
                true
            }
            _ => false,
        }
    }

    fn note(&mut self, token: &str) {
        if !self.noted.contains(token) {
            self.noted.insert(token.to_owned());
            self.tokens.push(token.to_owned());
        }
    }

    fn value<'c>(&mut self, expression: &'c Expression, frame: &'c Frame<'c>) -> Step<Val<'c>>
    where
        's: 'c,
    {
        match expression {
            Expression::Path(path) => self.path(path, frame),
            Expression::Turn(outward, variable) => Ok(turn_variable(frame, *outward, *variable)),
            Expression::Literal(document) => Ok(Val::Json(document.root())),
            Expression::Attempt => {
                Ok(self.scope.attempt.map_or(Val::Missing, |number| Val::text(number.to_string())))
            }
            // Never reached: the parser accepts secrets only as holes of their own.
            Expression::Secret(_) => Ok(Val::Missing),
            Expression::Call(call) => self.call(call, frame),
        }
    }

    fn path<'c>(&mut self, path: &'c Path, frame: &'c Frame<'c>) -> Step<Val<'c>>
    where
        's: 'c,
    {
        let base = match path.base {
            Base::Root => Some(self.scope.root),
            Base::Antar => Some(self.scope.antar),
            Base::Frame(count) => frame.out(count).map(|frame| frame.this),
        };
        let Some(base) = base else { return Ok(Val::Missing) };
        let mut at = Some(base);
        for step in &path.steps {
            at = match at {
                Some(value) => self.step(value, step)?,
                None => break,
            };
        }
        if at.is_none() && path.steps.len() > 1 {
            // A key may itself contain dots.
            let left = self.limits.work_max.saturating_sub(self.work) as u64;
            let steps = Steps::new(left.min(self.steps.left()));
            let found = base.at_within(&path.dotted, &steps);
            self.spend(usize::try_from(steps.taken()).unwrap_or(usize::MAX))?;
            at = found.map_err(|OutOfSteps| self.out_of_steps())?;
        }
        Ok(at.into())
    }

    /// The error of work that used up all steps exactly.
    fn out_of_steps(&self) -> RenderError {
        match self.work >= self.limits.work_max {
            true => RenderError::TooMuchWork { limit: self.limits.work_max },
            false => RenderError::OutOfSteps,
        }
    }

    /// The value one step down; the last one of duplicate keys, as in `JSON.parse`.
    fn step<'c>(&mut self, value: Value<'c>, step: &str) -> Step<Option<Value<'c>>> {
        let mut looked_at = 1;
        let mut found = None;
        match value.kind() {
            Kind::Object => {
                for (key, member) in value.members() {
                    looked_at += 1 + key.raw().len() / 32;
                    if key.str_eq(step) {
                        found = Some(member);
                    }
                }
            }
            Kind::Array => {
                if let Ok(index) = step.parse::<usize>() {
                    looked_at += index.min(value.raw().len());
                    found = value.elements().nth(index);
                }
            }
            _ => {}
        }
        self.spend(looked_at)?;
        Ok(found)
    }

    fn call<'c>(&mut self, call: &'c Call, frame: &'c Frame<'c>) -> Step<Val<'c>>
    where
        's: 'c,
    {
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            arguments.push(self.value(argument, frame)?);
        }
        let mut options = Vec::with_capacity(call.options.len());
        for (name, value) in &call.options {
            options.push((*name, self.value(value, frame)?));
        }
        let read: usize = arguments.iter().map(Val::length_bytes).sum();
        self.spend(read)?;
        let value = helpers::call(call.helper, &arguments, &options, self.limits.output_bytes_max)
            .map_err(|failure| match failure {
                Failure::TooLong => RenderError::TooLong { limit: self.limits.output_bytes_max },
                Failure::Because(detail) => RenderError::Helper {
                    helper: helpers::name(call.helper),
                    token: call.token.clone(),
                    detail,
                },
            })?;
        self.spend(value.length_bytes())?;
        Ok(value)
    }
}

fn turn_variable<'c>(frame: &'c Frame<'c>, outward: usize, variable: TurnVariable) -> Val<'c> {
    let Some(turn) = frame.turn(outward) else { return Val::Missing };
    match variable {
        TurnVariable::First => Val::Bool(turn.index == 0),
        TurnVariable::Last => Val::Bool(turn.last),
        TurnVariable::Key => turn.key.map_or_else(|| Val::number(turn.index), Val::Json),
        TurnVariable::Index => Val::number(turn.index),
    }
}
