//! Proves a template against the grammar of its place, along every path that rendering can take.
//!
//! Text advances the grammar's state character by character; a hole counts as whatever the state allows in
//! its position. Both branches of a condition are walked and their end states joined. A loop is walked with
//! no turn, with one, and with several: its first turn, the turns between up to a fixed point, and its
//! last, with `@first` and `@last` known in each, so that the usual ways to write commas are understood.
//! With `join` the separator is walked between turns that wrote something. A template that passes is proved
//! for all events, since values influence only the choice of branches and the number of turns.

use crate::Cause;
use crate::helpers::Helper;
use crate::plan::{Event, Hole, If, Node, Slot, Text};
use crate::syntax::expression::{Expression, TurnVariable};
use crate::syntax::scan::Fault;

mod loops;

/// Characters and nodes that one proof may walk at most; nested loops multiply them.
const STEPS_MAX: usize = 1_000_000;

/// The grammar of one place.
pub(crate) trait Grammar {
    type State: Clone + PartialEq;
    fn start(&self) -> Self::State;
    /// Advances `state` over `text` and records structural changes in `events`.
    fn text(
        &self,
        state: &mut Self::State,
        text: &str,
        events: &mut Vec<(usize, Event)>,
    ) -> Result<(), Stuck>;
    fn hole(&self, state: &mut Self::State, hole: &Hole) -> Result<Slot, Stuck>;
    /// The state that accepts whatever both states accept.
    fn join(&self, one: &Self::State, other: &Self::State) -> Result<Self::State, Stuck>;
    fn end(&self, state: &Self::State) -> Result<(), Stuck>;
}

/// Why the grammar refuses a text, a hole, a join or the end.
#[derive(Debug)]
pub(crate) struct Stuck {
    pub(crate) cause: Cause,
    /// Byte of the text, if a text is refused.
    pub(crate) at: usize,
    pub(crate) detail: String,
    pub(crate) suggestion: Option<String>,
}

impl Stuck {
    pub(crate) fn new(cause: Cause, detail: impl Into<String>) -> Stuck {
        Stuck { cause, at: 0, detail: detail.into(), suggestion: None }
    }

    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Stuck {
        self.suggestion = Some(suggestion.into());
        self
    }

    fn between(self, start: usize, end: usize) -> Fault {
        Fault { cause: self.cause, start, end, detail: self.detail, suggestion: self.suggestion }
    }
}

/// Proves `nodes` and assigns every hole its slot.
pub(crate) fn prove<G: Grammar>(
    grammar: &G,
    source: &str,
    nodes: &mut [Node],
) -> Result<(), Fault> {
    let mut walker = Walker { grammar, source, turns: Vec::new(), steps: 0 };
    let ways = walker.nodes(nodes, Ways { silent: None, spoken: Some(grammar.start()) })?;
    let end = source.len();
    let at_end = ways.spoken.map_or(Ok(()), |state| grammar.end(&state));
    at_end.map_err(|stuck| {
        let last = source.char_indices().next_back().map_or(0, |(at, _)| at);
        stuck.between(last, end)
    })?;
    all_reached(nodes)
}

fn all_reached(nodes: &[Node]) -> Result<(), Fault> {
    let unreached = |start, end| {
        Err(Fault::new(
            Cause::NeverReached,
            start,
            end,
            "no event can lead here: take this part out",
        ))
    };
    for node in nodes {
        match node {
            Node::Text(text) if text.events.is_none() => return unreached(text.start, text.end),
            Node::Hole(hole) if hole.slot.is_none() => {
                return unreached(hole.start, hole.start + hole.token.len());
            }
            Node::Text(_) | Node::Hole(_) => {}
            Node::If(If { then, otherwise, .. }) => {
                all_reached(then)?;
                all_reached(otherwise)?;
            }
            Node::Each(block) | Node::With(block) => {
                all_reached(&block.body)?;
                all_reached(&block.otherwise)?;
            }
        }
    }
    Ok(())
}

/// Whether the walked turn is the first and the last of its loop.
#[derive(Clone, Copy)]
struct Turn {
    first: bool,
    last: bool,
}

/// The states that the output may be in. In a loop with `join`, the state reached while the turn wrote
/// nothing is tracked separately, since such a turn is dropped together with its separator; elsewhere only
/// `spoken` is used.
#[derive(Clone, PartialEq)]
struct Ways<S> {
    silent: Option<S>,
    spoken: Option<S>,
}

struct Walker<'g, G> {
    grammar: &'g G,
    source: &'g str,
    turns: Vec<Turn>,
    steps: usize,
}

impl<G: Grammar> Walker<'_, G> {
    fn nodes(
        &mut self,
        nodes: &mut [Node],
        mut ways: Ways<G::State>,
    ) -> Result<Ways<G::State>, Fault> {
        for node in nodes {
            ways = match node {
                Node::Text(text) => self.text(text, ways)?,
                Node::Hole(hole) => self.hole(hole, ways)?,
                Node::If(block) => self.condition(block, ways)?,
                Node::Each(block) => self.each(block, ways)?,
                Node::With(block) => {
                    let body = self.nodes(&mut block.body, ways.clone())?;
                    let otherwise = self.nodes(&mut block.otherwise, ways)?;
                    self.join(body, otherwise, block.start, block.end)?
                }
            };
        }
        Ok(ways)
    }

    fn count(&mut self, steps: usize, start: usize, end: usize) -> Result<(), Fault> {
        self.steps += steps;
        if self.steps <= STEPS_MAX {
            return Ok(());
        }
        Err(Fault::new(
            Cause::ProofTooLarge,
            start,
            end,
            "the template is too large to be proved: nest fewer loops",
        ))
    }

    fn text(&mut self, text: &mut Text, ways: Ways<G::State>) -> Result<Ways<G::State>, Fault> {
        if text.text.is_empty() {
            return Ok(ways);
        }
        let place = |source: &str, text: &Text, at: usize| {
            let start = source.floor_char_boundary(source_offset(source, text, at));
            (start, start + source[start..].chars().next().map_or(0, char::len_utf8))
        };
        let silent = ways.silent.map(|state| self.moved(text, state, place)).transpose()?;
        let spoken = ways.spoken.map(|state| self.moved(text, state, place)).transpose()?;
        let (start, end) = (text.start, text.end);
        Ok(Ways { silent: None, spoken: self.either(spoken, silent, start, end)? })
    }

    /// Advances `state` over `text`; `place` maps a byte of the text to its bytes in the source.
    fn moved(
        &mut self,
        text: &mut Text,
        mut state: G::State,
        place: impl Fn(&str, &Text, usize) -> (usize, usize),
    ) -> Result<G::State, Fault> {
        self.count(text.text.len() + 1, text.start, text.end)?;
        let mut events = Vec::new();
        if let Err(stuck) = self.grammar.text(&mut state, &text.text, &mut events) {
            let (start, end) = place(self.source, text, stuck.at);
            return Err(stuck.between(start, end));
        }
        match &text.events {
            None => text.events = Some(events),
            Some(known) if *known == events => {}
            Some(_) => {
                let detail = "this text would mean one thing in one turn and another in the next";
                return Err(Fault::new(Cause::TwoMeanings, text.start, text.end, detail));
            }
        }
        Ok(state)
    }

    fn hole(&mut self, hole: &mut Hole, ways: Ways<G::State>) -> Result<Ways<G::State>, Fault> {
        let (start, end) = (hole.start, hole.start + hole.token.len());
        self.count(1, start, end)?;
        let silent = ways.silent.map(|state| self.filled(hole, state)).transpose()?;
        let spoken = ways.spoken.map(|state| self.filled(hole, state)).transpose()?;
        let spoken = self.either(spoken, silent.clone(), start, end)?;
        // A JSON value always writes something; any other hole may write nothing, and then the turn stays
        // silent.
        let always = hole.slot == Some(Slot::JsonValue);
        Ok(Ways { silent: silent.filter(|_| !always), spoken })
    }

    fn filled(&mut self, hole: &mut Hole, mut state: G::State) -> Result<G::State, Fault> {
        let (start, end) = (hole.start, hole.start + hole.token.len());
        let slot =
            self.grammar.hole(&mut state, hole).map_err(|stuck| stuck.between(start, end))?;
        if hole.slot.is_some_and(|known| known != slot) {
            let detail = "this would stand in one place in one turn and in another in the next";
            return Err(Fault::new(Cause::TwoMeanings, start, end, detail));
        }
        hole.slot = Some(slot);
        Ok(state)
    }

    fn condition(&mut self, block: &mut If, ways: Ways<G::State>) -> Result<Ways<G::State>, Fault> {
        self.count(1, block.start, block.end)?;
        let known = match block.condition {
            // The index identifies the first turn only if the number 0 counts as no value.
            Expression::Turn(_, TurnVariable::Index) if block.zero_is_true => None,
            ref condition => self.known(condition),
        };
        match known.map(|truth| truth != block.negated) {
            Some(true) => self.nodes(&mut block.then, ways),
            Some(false) => self.nodes(&mut block.otherwise, ways),
            None => {
                let then = self.nodes(&mut block.then, ways.clone())?;
                let otherwise = self.nodes(&mut block.otherwise, ways)?;
                self.join(then, otherwise, block.start, block.end)
            }
        }
    }

    /// The truth of a condition, if the turn alone determines it.
    fn known(&self, condition: &Expression) -> Option<bool> {
        match condition {
            Expression::Turn(outward, variable) => {
                let turn = self.turns[self.turns.len().checked_sub(outward + 1)?];
                match variable {
                    TurnVariable::First => Some(turn.first),
                    TurnVariable::Last => Some(turn.last),
                    TurnVariable::Index => Some(!turn.first),
                    TurnVariable::Key => None,
                }
            }
            Expression::Call(call) => {
                let mut operands = call.arguments.iter().map(|operand| self.known(operand));
                match call.helper {
                    Helper::Not => operands.next()?.map(|truth| !truth),
                    Helper::And if operands.clone().any(|known| known == Some(false)) => {
                        Some(false)
                    }
                    Helper::And => operands.all(|known| known == Some(true)).then_some(true),
                    Helper::Or if operands.clone().any(|known| known == Some(true)) => Some(true),
                    Helper::Or => operands.all(|known| known == Some(false)).then_some(false),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn join(
        &self,
        one: Ways<G::State>,
        other: Ways<G::State>,
        start: usize,
        end: usize,
    ) -> Result<Ways<G::State>, Fault> {
        let silent = self.either(one.silent, other.silent, start, end)?;
        let spoken = self.either(one.spoken, other.spoken, start, end)?;
        // Silent and spoken states must be compatible too: the nodes that follow are walked from both.
        self.either(silent.clone(), spoken.clone(), start, end)?;
        Ok(Ways { silent, spoken })
    }

    fn either(
        &self,
        one: Option<G::State>,
        other: Option<G::State>,
        start: usize,
        end: usize,
    ) -> Result<Option<G::State>, Fault> {
        match (one, other) {
            (Some(one), Some(other)) => {
                let joined = self.grammar.join(&one, &other);
                joined.map(Some).map_err(|stuck| stuck.between(start, end))
            }
            (one, other) => Ok(one.or(other)),
        }
    }
}

/// The byte of the source that byte `at` of a text came from. A text lacks some bytes of its source:
/// spaces at the ends, and the backslashes that escape braces.
fn source_offset(source: &str, text: &Text, at: usize) -> usize {
    let written = &source[text.start..text.end];
    let spaces = |part: &str| part.len() - part.trim_start().len();
    let (text_spaces, written_spaces) = (spaces(&text.text), spaces(written));
    if at < text_spaces {
        return text.start + written_spaces - text_spaces.min(written_spaces)
            + at.min(written_spaces);
    }
    let mut from = written_spaces;
    for byte in text.text.as_bytes()[text_spaces..at].iter().chain(&text.text.as_bytes()[at..=at]) {
        while written.as_bytes().get(from).is_some_and(|other| other != byte) {
            from += 1;
        }
        from += 1;
    }
    (text.start + from.saturating_sub(1)).min(source.len().saturating_sub(1))
}
