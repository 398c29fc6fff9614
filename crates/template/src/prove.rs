//! Walks a template over the grammar of its place, through every way it can be rendered.
//!
//! Text moves the grammar's state character by character; a hole is whatever the state says can
//! stand there. Both branches of a condition are walked and their ends joined. A loop is walked
//! with no turn, with one, and with several: its first turn, the turns between up to a fixed point,
//! and its last, with `@first` and `@last` known in each, so the usual ways to write commas are
//! understood. What passes is proved for all events, since nothing depends on values but the
//! choice of branches and the number of turns.

use crate::expression::{Expression, TurnVariable};
use crate::helpers::Helper;
use crate::plan::{Block, Event, Hole, If, Node, Slot, Text};
use crate::scan::Fault;

/// Characters and nodes one proof may walk; nested loops multiply.
const STEPS_MAX: usize = 1_000_000;

/// The language of one place.
pub(crate) trait Grammar {
    type State: Clone + PartialEq;
    fn start(&self) -> Self::State;
    /// Moves over `text`, noting where its structure changes.
    fn text(
        &self,
        state: &mut Self::State,
        text: &str,
        events: &mut Vec<(usize, Event)>,
    ) -> Result<(), Stuck>;
    fn hole(&self, state: &mut Self::State, hole: &Hole) -> Result<Slot, Stuck>;
    /// The state from which all is accepted that both accept.
    fn join(&self, one: &Self::State, other: &Self::State) -> Result<Self::State, Stuck>;
    fn end(&self, state: &Self::State) -> Result<(), Stuck>;
}

/// What the grammar can't take.
#[derive(Debug)]
pub(crate) struct Stuck {
    /// Byte of the text, where there is one.
    pub(crate) at: usize,
    pub(crate) detail: String,
    pub(crate) suggestion: Option<String>,
}

impl Stuck {
    pub(crate) fn new(detail: impl Into<String>) -> Stuck {
        Stuck { at: 0, detail: detail.into(), suggestion: None }
    }

    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Stuck {
        self.suggestion = Some(suggestion.into());
        self
    }

    fn between(self, start: usize, end: usize) -> Fault {
        Fault { start, end, detail: self.detail, suggestion: self.suggestion }
    }
}

/// Proves `nodes` and gives every hole its slot.
pub(crate) fn prove<G: Grammar>(
    grammar: &G,
    source: &str,
    nodes: &mut [Node],
) -> Result<(), Fault> {
    let mut walker = Walker { grammar, source, turns: Vec::new(), steps: 0 };
    let state = walker.nodes(nodes, grammar.start())?;
    let end = source.len();
    grammar.end(&state).map_err(|stuck| {
        let last = source.char_indices().next_back().map_or(0, |(at, _)| at);
        stuck.between(last, end)
    })?;
    all_reached(nodes)
}

fn all_reached(nodes: &[Node]) -> Result<(), Fault> {
    let unreached =
        |start, end| Err(Fault::new(start, end, "no event can lead here: take this part out"));
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

/// Whether the walked turn is a loop's first and its last.
#[derive(Clone, Copy)]
struct Turn {
    first: bool,
    last: bool,
}

struct Walker<'g, G> {
    grammar: &'g G,
    source: &'g str,
    turns: Vec<Turn>,
    steps: usize,
}

impl<G: Grammar> Walker<'_, G> {
    fn nodes(&mut self, nodes: &mut [Node], mut state: G::State) -> Result<G::State, Fault> {
        for node in nodes {
            state = match node {
                Node::Text(text) => self.text(text, state)?,
                Node::Hole(hole) => self.hole(hole, state)?,
                Node::If(block) => self.condition(block, state)?,
                Node::Each(block) => self.each(block, &state)?,
                Node::With(block) => {
                    let body = self.nodes(&mut block.body, state.clone())?;
                    let otherwise = self.nodes(&mut block.otherwise, state)?;
                    self.join(&body, &otherwise, block.start, block.end)?
                }
            };
        }
        Ok(state)
    }

    fn count(&mut self, steps: usize, start: usize, end: usize) -> Result<(), Fault> {
        self.steps += steps;
        if self.steps <= STEPS_MAX {
            return Ok(());
        }
        Err(Fault::new(start, end, "the template is too large to be proved: nest fewer loops"))
    }

    fn text(&mut self, text: &mut Text, mut state: G::State) -> Result<G::State, Fault> {
        self.count(text.text.len() + 1, text.start, text.end)?;
        let mut events = Vec::new();
        if let Err(stuck) = self.grammar.text(&mut state, &text.text, &mut events) {
            let start = self.source.floor_char_boundary(source_offset(self.source, text, stuck.at));
            let length = self.source[start..].chars().next().map_or(0, char::len_utf8);
            return Err(stuck.between(start, start + length));
        }
        match &text.events {
            None => text.events = Some(events),
            Some(known) if *known == events => {}
            Some(_) => {
                let detail = "this text would mean one thing in one turn and another in the next";
                return Err(Fault::new(text.start, text.end, detail));
            }
        }
        Ok(state)
    }

    fn hole(&mut self, hole: &mut Hole, mut state: G::State) -> Result<G::State, Fault> {
        let (start, end) = (hole.start, hole.start + hole.token.len());
        self.count(1, start, end)?;
        let slot =
            self.grammar.hole(&mut state, hole).map_err(|stuck| stuck.between(start, end))?;
        if hole.slot.is_some_and(|known| known != slot) {
            let detail = "this would stand in one place in one turn and in another in the next";
            return Err(Fault::new(start, end, detail));
        }
        hole.slot = Some(slot);
        Ok(state)
    }

    fn condition(&mut self, block: &mut If, state: G::State) -> Result<G::State, Fault> {
        self.count(1, block.start, block.end)?;
        let known = match block.condition {
            // The number 0 is told apart from others only where it is no value.
            Expression::Turn(_, TurnVariable::Index) if block.zero_is_true => None,
            ref condition => self.known(condition),
        };
        match known.map(|truth| truth != block.negated) {
            Some(true) => self.nodes(&mut block.then, state),
            Some(false) => self.nodes(&mut block.otherwise, state),
            None => {
                let then = self.nodes(&mut block.then, state.clone())?;
                let otherwise = self.nodes(&mut block.otherwise, state)?;
                self.join(&then, &otherwise, block.start, block.end)
            }
        }
    }

    /// What the turn alone says about a condition.
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

    fn each(&mut self, block: &mut Block, state: &G::State) -> Result<G::State, Fault> {
        let (start, end) = (block.start, block.end);
        self.count(1, start, end)?;
        let none = self.nodes(&mut block.otherwise, state.clone())?;
        let only = self.turn(&mut block.body, state, true, true)?;
        let mut between = self.turn(&mut block.body, state, true, false)?;
        loop {
            let after = self.turn(&mut block.body, &between, false, false)?;
            let joined = self.join(&between, &after, start, end)?;
            if joined == between {
                break;
            }
            between = joined;
        }
        let last = self.turn(&mut block.body, &between, false, true)?;
        let some = self.join(&only, &last, start, end)?;
        self.join(&none, &some, start, end)
    }

    fn turn(
        &mut self,
        body: &mut [Node],
        state: &G::State,
        first: bool,
        last: bool,
    ) -> Result<G::State, Fault> {
        self.turns.push(Turn { first, last });
        let end = self.nodes(body, state.clone());
        self.turns.pop();
        end.map_err(|mut fault| {
            if !first && !fault.detail.starts_with("in a later turn") {
                fault.detail = format!("in a later turn of the loop: {}", fault.detail);
            }
            fault
        })
    }

    fn join(
        &self,
        one: &G::State,
        other: &G::State,
        start: usize,
        end: usize,
    ) -> Result<G::State, Fault> {
        self.grammar.join(one, other).map_err(|stuck| stuck.between(start, end))
    }
}

/// The byte of the source that byte `at` of a text came from. A text lacks some of its source:
/// spaces at the ends, and the backslashes that keep braces from being tags.
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
