//! The plan that a template is compiled into.

use crate::escape::Escape;
use crate::syntax::expression::Expression;

#[derive(Debug)]
pub(crate) enum Node {
    Text(Text),
    Hole(Hole),
    If(If),
    Each(Block),
    With(Block),
}

/// Text as it will be written. `start..end` are the bytes of the source it came from.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Structural changes of the output, by byte of `text`; `None` until the proof reaches the text. Used
    /// in rendering only if parts may be omitted.
    pub(crate) events: Option<Vec<(usize, Event)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A JSON array or object begins.
    Open,
    /// A comma between members or elements.
    Comma,
    /// An array or object ends.
    Close,
    /// The `?` of a URL.
    Query,
    /// A `&` of a query or form.
    Parameter,
    /// The `#` of a URL.
    Fragment,
}

#[derive(Debug)]
pub(crate) struct Hole {
    pub(crate) expression: Expression,
    /// The tag as written.
    pub(crate) token: String,
    pub(crate) start: usize,
    /// Set by the proof.
    pub(crate) slot: Option<Slot>,
    /// Whether the hole is the entire value of a member, element, parameter or header.
    pub(crate) lone: bool,
}

/// The place of a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A JSON value.
    JsonValue,
    /// All of a JSON string; the hole writes the quotes.
    JsonString,
    /// Inside a JSON string.
    JsonText,
    /// Inside a JSON key.
    JsonKey,
    /// The whole URL, which only a secret may be.
    WholeUrl,
    Host,
    /// Path, query or fragment.
    Url,
    Header,
    Form,
    Markup,
    /// In a quoted attribute of markup.
    Attribute,
    Text,
}

impl Slot {
    pub(crate) fn escape(self) -> Escape {
        match self {
            Slot::JsonValue | Slot::JsonString => Escape::JsonValue,
            Slot::JsonText | Slot::JsonKey => Escape::JsonText,
            Slot::WholeUrl | Slot::Host => Escape::Url,
            Slot::Url => Escape::Percent,
            Slot::Header => Escape::Header,
            Slot::Form => Escape::Form,
            Slot::Markup => Escape::Markup,
            Slot::Attribute => Escape::Attribute,
            Slot::Text => Escape::None,
        }
    }

    /// Whether only text, numbers and booleans may stand here.
    pub(crate) fn scalar_only(self) -> bool {
        matches!(self, Slot::Host | Slot::Url | Slot::Header | Slot::WholeUrl)
    }
}

#[derive(Debug)]
pub(crate) struct If {
    pub(crate) condition: Expression,
    /// `unless`
    pub(crate) negated: bool,
    /// `includeZero=true`: the number 0 counts as a value.
    pub(crate) zero_is_true: bool,
    pub(crate) then: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
    /// The opening tag in the source.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// `each` and `with`
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) subject: Expression,
    /// Text between the turns of a loop that wrote something: the `join` option of `each`.
    pub(crate) separator: Option<Text>,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}
