//! The grammar of forms (`application/x-www-form-urlencoded`): literal text must already be
//! percent-encoded, so that a parser reads the fields that the template shows.

use crate::Cause;
use crate::escape::percent_encoded;
use crate::plan::{Event, Hole, Slot};
use crate::prove::{Grammar, Stuck};

pub(crate) struct Form;

/// Advances over `c`; `missing` is the number of hex digits that a `%` still lacks.
pub(crate) fn percent(missing: &mut u8, c: char) -> Result<(), Stuck> {
    match (*missing, c) {
        (0, '%') => *missing = 2,
        (0, _) => {}
        (_, c) if c.is_ascii_hexdigit() => *missing -= 1,
        _ => return Err(percent_unfinished()),
    }
    Ok(())
}

pub(crate) fn percent_unfinished() -> Stuck {
    Stuck::new(Cause::PercentUnfinished, "`%` is followed by two hex digits that are written out")
}

impl Grammar for Form {
    type State = u8;

    fn start(&self) -> u8 {
        0
    }

    fn text(
        &self,
        state: &mut u8,
        text: &str,
        events: &mut Vec<(usize, Event)>,
    ) -> Result<(), Stuck> {
        for (at, c) in text.char_indices() {
            percent(state, c).map_err(|stuck| Stuck { at, ..stuck })?;
            if !c.is_ascii_graphic()
                || matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
            {
                return Err(Stuck { at, ..unfit(c) });
            }
            if c == '&' {
                events.push((at, Event::Parameter));
            }
        }
        Ok(())
    }

    fn hole(&self, state: &mut u8, _hole: &Hole) -> Result<Slot, Stuck> {
        match *state {
            0 => Ok(Slot::Form),
            _ => Err(percent_unfinished()),
        }
    }

    fn join(&self, one: &u8, other: &u8) -> Result<u8, Stuck> {
        if one == other { Ok(*one) } else { Err(percent_unfinished()) }
    }

    fn end(&self, state: &u8) -> Result<(), Stuck> {
        if *state == 0 { Ok(()) } else { Err(percent_unfinished()) }
    }
}

fn unfit(c: char) -> Stuck {
    let encoded = percent_encoded(c.encode_utf8(&mut [0; 4]));
    let stuck =
        |what: &str| Stuck::new(Cause::FormCharacter, format!("{what} can't stand in a form"));
    match c {
        ' ' => stuck("a space").suggest("write `+`"),
        '\n' | '\r' => stuck("a line break")
            .suggest("write the fields on one line, with `&` between; in a value it is `%0A`"),
        '{' => stuck("`{`").suggest(
            "write fields like `name={{…}}&other={{…}}`; for JSON set Content-Type to application/json",
        ),
        c if c.is_control() => stuck("a control character").suggest("take it out"),
        c => stuck(&format!("`{c}`")).suggest(format!("write `{encoded}`")),
    }
}
