//! JSON (RFC 8259) as an automaton, for the proof of JSON templates.
//!
//! A state consists of a stack of open arrays and objects and the set of positions that the output may be
//! at. Several positions come from joins: after `[{{#if a}}1{{/if}}` the output is right after a bracket or
//! after a value. A character is accepted if every position accepts it.

use crate::Cause;
use crate::plan::{Event, Hole, Slot};
use crate::prove::{Grammar, Stuck};

const LOOP: &str =
    "in a loop write `{{#each … join=\",\"}}`, which puts the commas between its turns";

const BRANCHES: &str =
    "let each part under a condition bring the comma before it, inside its block";

pub(crate) struct Json {
    pub(crate) depth_max: usize,
    /// Whether the template has a loop, so that advice on commas can mention it.
    pub(crate) loops: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct State {
    stack: Vec<Container>,
    /// Sorted, without duplicates, never empty.
    positions: Vec<Position>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Container {
    Array,
    Object,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Position {
    /// Before the outermost value.
    Root,
    /// After a colon.
    Member,
    /// After a comma in an array.
    Element,
    ArrayStart,
    ObjectStart,
    /// After a comma in an object.
    Key,
    Colon,
    AfterValue,
    String {
        key: bool,
    },
    Escape {
        key: bool,
    },
    /// In the digits after `\u`; `low`: of the second half of a surrogate pair.
    Hex {
        key: bool,
        left: u8,
        unit: u16,
        low: bool,
    },
    /// After the first half of a surrogate pair, and after the backslash of the second.
    Pair {
        key: bool,
        escape: bool,
    },
    /// Inside `true`, `false` or `null`, with the rest of the word.
    Word(&'static str),
    Number(Number),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

enum Move {
    Stay,
    Push(Container),
    Pop,
}

use Position as P;

impl Position {
    fn takes_value(self) -> bool {
        matches!(self, P::Root | P::Member | P::Element | P::ArrayStart)
    }

    fn inside_string(self) -> bool {
        matches!(self, P::String { .. } | P::Escape { .. } | P::Hex { .. } | P::Pair { .. })
    }

    /// Whether a value is complete here, though a number might continue.
    fn complete(self) -> bool {
        use Number::{ExponentDigits, Fraction, Integer, Zero};
        matches!(self, P::AfterValue | P::Number(Zero | Integer | Fraction | ExponentDigits))
    }

    /// Whether this is between tokens, where positions may be joined.
    fn joinable(self) -> bool {
        self.takes_value() || self.complete() || matches!(self, P::ObjectStart | P::Key)
    }

    fn expects(self, stack: &[Container]) -> &'static str {
        match self {
            P::Root | P::Member | P::Element => "a value",
            P::ArrayStart => "a value or `]`",
            P::ObjectStart => "a key in double quotes or `}`",
            P::Key => "a key in double quotes",
            P::Colon => "`:`",
            P::AfterValue => match stack.last() {
                Some(Container::Array) => "`,` or `]`",
                Some(Container::Object) => "`,` or `}`",
                None => "the end of the text",
            },
            P::String { .. } => "text or `\"`",
            P::Escape { .. } => "one of `\" \\ / b f n r t u` after the backslash",
            P::Hex { .. } => "four hex digits after `\\u`",
            P::Pair { .. } => "the second half of a surrogate pair, `\\uDC00` to `\\uDFFF`",
            P::Word(_) => "the rest of `true`, `false` or `null`",
            number if number.complete() => P::AfterValue.expects(stack),
            P::Number(_) => "a digit",
        }
    }

    fn step(self, c: char, stack: &[Container]) -> Option<(Position, Move)> {
        let to = |position| Some((position, Move::Stay));
        match (self, c) {
            (P::String { key }, '"') => to(if key { P::Colon } else { P::AfterValue }),
            (P::String { key }, '\\') => to(P::Escape { key }),
            (P::String { .. }, '\u{0}'..='\u{1f}') => None,
            (P::String { .. }, _) => to(self),
            (P::Escape { key }, 'u') => to(P::Hex { key, left: 4, unit: 0, low: false }),
            (P::Escape { key }, '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => {
                to(P::String { key })
            }
            (P::Hex { key, left, unit, low }, c) => {
                let unit = (unit << 4) | u16::try_from(c.to_digit(16)?).ok()?;
                match (left, unit, low) {
                    (2.., ..) => to(P::Hex { key, left: left - 1, unit, low }),
                    (_, 0xdc00..=0xdfff, _) => {
                        if low {
                            to(P::String { key })
                        } else {
                            None
                        }
                    }
                    (_, _, true) => None,
                    (_, 0xd800..=0xdbff, false) => to(P::Pair { key, escape: false }),
                    _ => to(P::String { key }),
                }
            }
            (P::Pair { key, escape: false }, '\\') => to(P::Pair { key, escape: true }),
            (P::Pair { key, escape: true }, 'u') => to(P::Hex { key, left: 4, unit: 0, low: true }),
            (P::Pair { .. } | P::Escape { .. }, _) => None,
            (P::Word(rest), c) => {
                let rest = rest.strip_prefix(c)?;
                to(if rest.is_empty() { P::AfterValue } else { P::Word(rest) })
            }
            (P::Number(number), c) => match number.step(c) {
                Some(number) => to(P::Number(number)),
                None if self.complete() => P::AfterValue.step(c, stack),
                None => None,
            },
            (_, ' ' | '\n' | '\r' | '\t') => to(self),
            (P::ArrayStart, ']') => Some((P::AfterValue, Move::Pop)),
            (P::ObjectStart, '}') => Some((P::AfterValue, Move::Pop)),
            (P::ObjectStart | P::Key, '"') => to(P::String { key: true }),
            (P::Colon, ':') => to(P::Member),
            (P::AfterValue, _) => match (stack.last()?, c) {
                (Container::Array, ',') => to(P::Element),
                (Container::Object, ',') => to(P::Key),
                (Container::Array, ']') | (Container::Object, '}') => {
                    Some((P::AfterValue, Move::Pop))
                }
                _ => None,
            },
            (position, c) if position.takes_value() => value_start(c),
            _ => None,
        }
    }
}

fn value_start(c: char) -> Option<(Position, Move)> {
    let position = match c {
        '"' => P::String { key: false },
        '-' => P::Number(Number::Minus),
        '0' => P::Number(Number::Zero),
        '1'..='9' => P::Number(Number::Integer),
        't' => P::Word("rue"),
        'f' => P::Word("alse"),
        'n' => P::Word("ull"),
        '[' => return Some((P::ArrayStart, Move::Push(Container::Array))),
        '{' => return Some((P::ObjectStart, Move::Push(Container::Object))),
        _ => return None,
    };
    Some((position, Move::Stay))
}

impl Number {
    fn step(self, c: char) -> Option<Number> {
        use Number::{
            Exponent, ExponentDigits, ExponentSign, Fraction, Integer, Minus, Point, Zero,
        };
        match (self, c) {
            (Minus, '0') => Some(Zero),
            (Minus, '1'..='9') | (Integer, '0'..='9') => Some(Integer),
            (Zero | Integer, '.') => Some(Point),
            (Point | Fraction, '0'..='9') => Some(Fraction),
            (Zero | Integer | Fraction, 'e' | 'E') => Some(Exponent),
            (Exponent, '+' | '-') => Some(ExponentSign),
            (Exponent | ExponentSign | ExponentDigits, '0'..='9') => Some(ExponentDigits),
            _ => None,
        }
    }
}

impl Grammar for Json {
    type State = State;

    fn start(&self) -> State {
        State { stack: Vec::new(), positions: vec![P::Root] }
    }

    fn text(
        &self,
        state: &mut State,
        text: &str,
        events: &mut Vec<(usize, Event)>,
    ) -> Result<(), Stuck> {
        for (at, c) in text.char_indices() {
            let inside_string = state.positions[0].inside_string();
            let event = match c {
                _ if inside_string => None,
                '{' | '[' => Some(Event::Open),
                '}' | ']' => Some(Event::Close),
                ',' => Some(Event::Comma),
                _ => None,
            };
            self.character(state, c).map_err(|stuck| Stuck { at, ..stuck })?;
            events.extend(event.map(|event| (at, event)));
        }
        Ok(())
    }

    fn hole(&self, state: &mut State, hole: &Hole) -> Result<Slot, Stuck> {
        if state.positions.iter().all(|position| position.takes_value()) {
            state.positions = vec![P::AfterValue];
            return Ok(Slot::JsonValue);
        }
        match state.positions.as_slice() {
            [P::String { key: false }] => Ok(Slot::JsonText),
            [P::String { key: true }] => Ok(Slot::JsonKey),
            positions => Err(self.no_hole(positions, &hole.token)),
        }
    }

    fn join(&self, one: &State, other: &State) -> Result<State, Stuck> {
        if one == other {
            return Ok(one.clone());
        }
        if one.stack != other.stack {
            return Err(Stuck::new(
                Cause::DifferentDepths,
                "the ways through this block end at different depths: each must close the \
                 brackets that it opens",
            ));
        }
        let mut positions = [one.positions.as_slice(), &other.positions].concat();
        if !positions.iter().all(|position| position.joinable()) {
            return Err(Stuck::new(
                Cause::DifferentStates,
                "the ways through this block end in different states: each must end where the \
                 others end, for instance all inside a string or all outside",
            ));
        }
        positions.sort_unstable();
        positions.dedup();
        Ok(State { stack: one.stack.clone(), positions })
    }

    fn end(&self, state: &State) -> Result<(), Stuck> {
        if state.positions[0].inside_string() {
            return Err(Stuck::new(Cause::EndsInString, "the text ends inside a string")
                .suggest("add `\"`"));
        }
        if let Some(container) = state.stack.last() {
            let (what, close) = match container {
                Container::Array => ("an array", "]"),
                Container::Object => ("an object", "}"),
            };
            return Err(Stuck::new(Cause::EndsInBrackets, format!("the text ends inside {what}"))
                .suggest(format!("add `{close}`")));
        }
        if state.positions == [P::Root] {
            return Err(Stuck::new(Cause::NoValue, "the body is empty, and JSON needs a value")
                .suggest("write a value, such as `{}` or `null`"));
        }
        if state.positions.contains(&P::Root) {
            return Err(Stuck::new(Cause::NoValue, "the text can end without a JSON value")
                .suggest("write a value in every branch, such as `null`"));
        }
        if state.positions.iter().all(|position| position.complete()) {
            return Ok(());
        }
        Err(Stuck::new(Cause::EndsInValue, "the text ends in the middle of a value"))
    }
}

impl Json {
    fn character(&self, state: &mut State, c: char) -> Result<(), Stuck> {
        let mut next = Vec::with_capacity(state.positions.len());
        let mut change = Move::Stay;
        for position in &state.positions {
            let Some((to, moved)) = position.step(c, &state.stack) else {
                return Err(self.rejected(*position, c, state));
            };
            next.push(to);
            change = moved;
        }
        match change {
            Move::Stay => {}
            Move::Push(_) if state.stack.len() >= self.depth_max => {
                return Err(Stuck::new(Cause::JsonTooDeep, "arrays and objects nest too deeply"));
            }
            Move::Push(container) => state.stack.push(container),
            Move::Pop => {
                state.stack.pop();
            }
        }
        next.sort_unstable();
        next.dedup();
        state.positions = next;
        Ok(())
    }

    fn rejected(&self, position: Position, c: char, state: &State) -> Stuck {
        if matches!((position, c), (P::Element, ']') | (P::Key, '}')) {
            let (some, advice) = match (state.positions.len(), self.loops) {
                (1, _) => ("a comma stands", Cause::TrailingComma.advice()),
                (_, true) => ("there can be a comma", LOOP),
                (_, false) => ("there can be a comma", BRANCHES),
            };
            let detail = format!("{some} right before `{c}`, which JSON does not allow");
            return Stuck::new(Cause::TrailingComma, detail).suggest(advice);
        }
        if let (P::String { .. }, '\u{0}'..='\u{1f}') = (position, c) {
            return Stuck::new(
                Cause::ControlInString,
                "a line break or control character can't stand in a JSON string",
            )
            .suggest("write `\\n`, or close the string with `\"`");
        }
        let found = match position {
            P::Root if c == '<' => "this is no JSON".to_owned(),
            _ => format!("`{c}` can't stand here"),
        };
        let expects = position.expects(&state.stack);
        let stuck = match state.positions.len() {
            1 => Stuck::new(Cause::NotJson, format!("{found}: JSON needs {expects}")),
            _ => Stuck::new(
                Cause::NotJson,
                format!(
                    "{found} in every case: after a branch left out, or a loop without turns, JSON needs {expects}"
                ),
            ),
        };
        match (position, c) {
            (P::Member, _) if state.positions.len() > 1 => {
                stuck.suggest("write a value in every branch: `{{else}}null` where the block ends")
            }
            (P::Root | P::Member | P::Element | P::ArrayStart, '\'') => {
                stuck.suggest("JSON strings take double quotes")
            }
            (P::Key | P::ObjectStart, c) if c != '"' => {
                stuck.suggest("write keys like `\"name\": …`")
            }
            (P::AfterValue, '"' | '{' | '[') => stuck.suggest("put a comma between"),
            _ => stuck,
        }
    }

    fn no_hole(&self, positions: &[Position], token: &str) -> Stuck {
        let position = positions.iter().find(|position| !position.takes_value());
        match position.copied().unwrap_or(P::AfterValue) {
            P::ObjectStart | P::Key => {
                Stuck::new(Cause::KeyWithoutQuotes, "an object needs a key in double quotes here")
                    .suggest(format!("write `\"{token}\": …`"))
            }
            P::Escape { .. } | P::Hex { .. } | P::Pair { .. } => Stuck::new(
                Cause::TagAfterBackslash,
                "a backslash in a JSON string can't be followed by a tag",
            )
            .suggest(
                "for one backslash in the value write three before a tag: Handlebars drops one",
            ),
            P::Number(_) => Stuck::new(Cause::TagInNumber, "a tag can't continue a number")
                .suggest("put the whole number into the tag"),
            P::AfterValue if positions.len() > 1 => Stuck::new(
                Cause::MissingComma,
                "a value can follow another one here without a comma between",
            ),
            P::AfterValue => Stuck::new(
                Cause::MissingComma,
                "a value follows another one without a comma between",
            )
            .suggest(if self.loops { LOOP } else { Cause::MissingComma.advice() }),
            P::Colon => Stuck::new(Cause::MissingColon, "a key is followed by a tag")
                .suggest("put `:` between"),
            _ => Stuck::new(Cause::TagInWord, "no value can stand here"),
        }
    }
}
