//! The text being rendered, from which parts can be removed again: a member whose value turns out to be
//! absent is dropped together with its comma.

use crate::escape::Escape;
use crate::pieces::Piece;
use crate::plan::{Event, Text};

pub(crate) struct Output {
    pub(crate) text: String,
    /// Byte offset in `text`, name and escaping of each secret.
    pub(crate) secrets: Vec<(usize, String, Escape)>,
    /// Whether parts can be omitted, so that the structure has to be tracked.
    removable: bool,
    lists: Vec<List>,
    /// The parameters of a query or form.
    parameters: Option<Parameters>,
    /// Grows whenever something is written or omitted.
    pub(crate) activity: usize,
}

/// A position to rewind to: the text's length, and the state of the innermost list and the parameters.
pub(crate) struct Mark {
    length_bytes: usize,
    list: Option<List>,
    parameters: Option<Parameters>,
}

/// An array or object that is being written.
#[derive(Clone, Copy)]
struct List {
    /// Where the current element begins, including its comma.
    mark: usize,
    /// Whether an element before it was kept.
    kept: bool,
    /// Whether the current element was left out.
    omitted: bool,
}

#[derive(Clone, Copy)]
pub(crate) struct Parameters {
    list: List,
    /// Text before the first parameter: `?` in a URL.
    lead: &'static str,
}

impl Parameters {
    pub(crate) fn form() -> Parameters {
        Parameters { list: List { mark: 0, kept: false, omitted: false }, lead: "" }
    }
}

impl List {
    /// Ends the current element at a separator and begins the next one. Returns whether the separator is
    /// needed, because an earlier element was kept.
    fn next(&mut self, mark: usize) -> bool {
        self.kept |= !self.omitted;
        self.omitted = false;
        self.mark = mark;
        self.kept
    }
}

impl Output {
    /// `removable`: whether parts can be omitted.
    pub(crate) fn new(removable: bool, parameters: Option<Parameters>, capacity: usize) -> Output {
        let text = String::with_capacity(capacity);
        let (secrets, lists) = (Vec::new(), Vec::new());
        Output { text, secrets, removable, lists, parameters, activity: 0 }
    }

    pub(crate) fn text(&mut self, text: &Text) {
        self.activity += text.text.len();
        let events = match &text.events {
            Some(events) if self.removable => events.as_slice(),
            _ => &[],
        };
        let mut done = 0;
        for (at, event) in events {
            self.text.push_str(&text.text[done..*at]);
            // Each of these characters is one byte.
            let character = &text.text[*at..=*at];
            done = at + 1;
            self.event(*event, character);
        }
        self.text.push_str(&text.text[done..]);
    }

    fn event(&mut self, event: Event, character: &str) {
        let mark = self.text.len();
        match (event, &mut self.parameters) {
            (Event::Open, _) => {
                self.text.push_str(character);
                self.lists.push(List { mark: self.text.len(), kept: false, omitted: false });
            }
            (Event::Close, _) => {
                self.lists.pop();
                self.text.push_str(character);
            }
            (Event::Comma, _) => {
                if self.lists.last_mut().is_none_or(|list| list.next(mark)) {
                    self.text.push_str(character);
                }
            }
            (Event::Query, none @ None) => {
                *none = Some(Parameters {
                    list: List { mark, kept: false, omitted: false },
                    lead: "?",
                });
                self.text.push_str(character);
            }
            (Event::Parameter, Some(parameters)) => {
                let separator = if parameters.list.next(mark) { "&" } else { parameters.lead };
                self.text.push_str(separator);
            }
            (Event::Fragment, parameters) => {
                *parameters = None;
                self.text.push_str(character);
            }
            (Event::Query | Event::Parameter, _) => self.text.push_str(character),
        }
    }

    /// Removes the current member or element. False if there is none, at the outermost value.
    pub(crate) fn omit_element(&mut self) -> bool {
        let Some(list) = self.lists.last_mut() else { return false };
        list.omitted = true;
        let mark = list.mark;
        self.truncate(mark);
        true
    }

    /// Removes the current parameter. False outside of a query or form.
    pub(crate) fn omit_parameter(&mut self) -> bool {
        let Some(parameters) = &mut self.parameters else { return false };
        parameters.list.omitted = true;
        let mark = parameters.list.mark;
        self.truncate(mark);
        true
    }

    pub(crate) fn mark(&self) -> Mark {
        let list = self.lists.last().copied();
        Mark { length_bytes: self.text.len(), list, parameters: self.parameters }
    }

    /// Removes the text written since `mark`, which must not have opened or closed a list.
    pub(crate) fn rewind(&mut self, mark: &Mark) {
        self.text.truncate(mark.length_bytes);
        self.parameters = mark.parameters;
        if let (Some(list), Some(before)) = (self.lists.last_mut(), mark.list) {
            *list = before;
        }
    }

    fn truncate(&mut self, mark: usize) {
        self.activity += 1;
        self.text.truncate(mark);
        while self.secrets.last().is_some_and(|(at, ..)| *at > mark) {
            self.secrets.pop();
        }
    }

    pub(crate) fn secret(&mut self, name: &str, escape: Escape) {
        self.activity += 1;
        self.secrets.push((self.text.len(), name.to_owned(), escape));
    }

    pub(crate) fn into_pieces(mut self) -> Vec<Piece> {
        let mut pieces = Vec::with_capacity(self.secrets.len() * 2 + 1);
        for (at, name, escape) in self.secrets.into_iter().rev() {
            let after = self.text.split_off(at);
            pieces.push(Piece::Text(after));
            pieces.push(Piece::Secret { name, escape });
        }
        pieces.push(Piece::Text(self.text));
        pieces.reverse();
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        pieces
    }
}
