//! Proves loops with no turn, with one and with several.

use super::{Grammar, Turn, Walker, Ways};
use crate::Cause;
use crate::plan::{Block, Event, Node};
use crate::syntax::scan::Fault;

const FIRST: Turn = Turn { first: true, last: false };
const BETWEEN: Turn = Turn { first: false, last: false };
const LAST: Turn = Turn { first: false, last: true };
const ONLY: Turn = Turn { first: true, last: true };

impl<G: Grammar> Walker<'_, G> {
    pub(super) fn each(
        &mut self,
        block: &mut Block,
        ways: Ways<G::State>,
    ) -> Result<Ways<G::State>, Fault> {
        let (start, end) = (block.start, block.end);
        self.count(1, start, end)?;
        let none = self.nodes(&mut block.otherwise, ways.clone())?;
        if block.separator.is_none() {
            let some = self.plain(block, &ways)?;
            return self.join(none, some, start, end);
        }
        let mut joined = none;
        if let Some(state) = ways.silent {
            let some = self.separated(block, &state)?;
            joined = self.join(joined, some, start, end)?;
        }
        if let Some(state) = ways.spoken {
            // Output from before this loop counts as written, even if the loop's turns write nothing.
            let some = self.separated(block, &state)?;
            let spoken = self.either(some.silent, some.spoken, start, end)?;
            joined = self.join(joined, Ways { silent: None, spoken }, start, end)?;
        }
        Ok(joined)
    }

    fn plain(&mut self, block: &mut Block, ways: &Ways<G::State>) -> Result<Ways<G::State>, Fault> {
        let (start, end) = (block.start, block.end);
        let only = self.turn(&mut block.body, ways.clone(), ONLY)?;
        let mut between = self.turn(&mut block.body, ways.clone(), FIRST)?;
        loop {
            let after = self.turn(&mut block.body, between.clone(), BETWEEN)?;
            let joined = self.join(between.clone(), after, start, end)?;
            if joined == between {
                break;
            }
            between = joined;
        }
        let last = self.turn(&mut block.body, between, LAST)?;
        self.join(only, last, start, end)
    }

    /// Walks a loop with a separator from one state. A turn that writes nothing leaves no trace: the state
    /// stays `state` until the first turn that writes, and is the end state of a turn that wrote from then
    /// on.
    fn separated(&mut self, block: &mut Block, state: &G::State) -> Result<Ways<G::State>, Fault> {
        let (start, end) = (block.start, block.end);
        let only = self.fresh(block, state, ONLY)?;
        let first = self.fresh(block, state, FIRST)?;
        let none_wrote = first.silent.is_some();
        let mut written = first.spoken;
        loop {
            let mut next = written.clone();
            if none_wrote {
                let after = self.fresh(block, state, BETWEEN)?;
                next = self.either(next, after.spoken, start, end)?;
            }
            if let Some(before) = &written {
                let after = self.after_separator(block, before, BETWEEN)?;
                next = self.either(next, after.spoken, start, end)?;
            }
            if next == written {
                break;
            }
            written = next;
        }
        let mut last = Ways { silent: None, spoken: None };
        if none_wrote {
            last = self.fresh(block, state, LAST)?;
        }
        if let Some(before) = written {
            let after = self.after_separator(block, &before, LAST)?;
            let unchanged = after.silent.map(|_| before);
            let spoken = self.either(after.spoken, unchanged, start, end)?;
            last.spoken = self.either(last.spoken, spoken, start, end)?;
        }
        self.join(only, last, start, end)
    }

    fn fresh(
        &mut self,
        block: &mut Block,
        state: &G::State,
        turn: Turn,
    ) -> Result<Ways<G::State>, Fault> {
        self.turn(&mut block.body, Ways { silent: Some(state.clone()), spoken: None }, turn)
    }

    fn after_separator(
        &mut self,
        block: &mut Block,
        state: &G::State,
        turn: Turn,
    ) -> Result<Ways<G::State>, Fault> {
        let mut state = state.clone();
        if let Some(separator) = &mut block.separator {
            let place = (separator.start, separator.end);
            let before = state.clone();
            let mut moved = self.moved(separator, state, |_, _, _| place);
            if moved.as_ref().is_err_and(|fault| fault.cause == Cause::ControlInString) {
                // A line break in the option's text is one in the string.
                separator.text = escape_controls(&separator.text);
                moved = self.moved(separator, before, |_, _, _| place);
            }
            state = moved.map_err(|mut fault| {
                fault.detail = format!("between two turns: {}", fault.detail);
                fault
            })?;
            let brackets =
                |(_, event): &(usize, Event)| matches!(event, Event::Open | Event::Close);
            if separator.events.iter().flatten().any(brackets) {
                let detail = "what stands between two turns can't open or close brackets";
                return Err(Fault::new(Cause::JoinWithBrackets, place.0, place.1, detail)
                    .suggest("write the brackets in the loop's body"));
            }
        }
        self.fresh(block, &state, turn)
    }

    fn turn(
        &mut self,
        body: &mut [Node],
        ways: Ways<G::State>,
        turn: Turn,
    ) -> Result<Ways<G::State>, Fault> {
        self.turns.push(turn);
        let end = self.nodes(body, ways);
        self.turns.pop();
        end.map_err(|mut fault| {
            if !turn.first && !fault.detail.starts_with("in a later turn") {
                fault.detail = format!("in a later turn of the loop: {}", fault.detail);
            }
            fault
        })
    }
}

/// The text with its control characters as a JSON string has them.
fn escape_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{0}'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
