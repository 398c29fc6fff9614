//! Joins the states in which two paths through a block end: the result accepts what both accept.

use super::{At, State};
use crate::Cause;
use crate::prove::Stuck;

pub(super) fn join(one: &State, other: &State) -> Result<State, Stuck> {
    if one == other {
        return Ok(one.clone());
    }
    let (one, other) = (&named(one), &named(other));
    if one.open != other.open || one.rooted != other.rooted {
        return Err(Stuck::new(
            Cause::DifferentDepths,
            "the ways through this block end in different elements: each must close the elements \
             that it opens, and the outermost can't be left out",
        ));
    }
    let at = match (&one.at, &other.at) {
        (At::Text(a), At::Text(b)) => At::Text(*a.max(b)),
        (At::Tag { spaced: a }, At::Tag { spaced: b }) => At::Tag { spaced: *a && *b },
        (a, b) if a == b => a.clone(),
        _ => {
            return Err(Stuck::new(
                Cause::DifferentStates,
                "the ways through this block end in different states: each must close the tags, quotes and comments that it opens",
            ));
        }
    };
    // An attribute that either path wrote can't follow.
    let mut attributes = [one.attributes.as_slice(), &other.attributes].concat();
    attributes.sort_unstable();
    attributes.dedup();
    let fresh = one.fresh && other.fresh;
    Ok(State { at, open: one.open.clone(), attributes, rooted: one.rooted, fresh })
}

/// Ends the name of a start tag, as in `<a{{#if x}} b="1"{{/if}}>`.
fn named(state: &State) -> State {
    let mut state = state.clone();
    if let At::StartName(name) = &mut state.at {
        state.open.push(std::mem::take(name));
        state.attributes.clear();
        state.at = At::Tag { spaced: false };
    }
    state
}
