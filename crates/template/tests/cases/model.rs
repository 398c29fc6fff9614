//! Expressions in tags: printed as Handlebars, and evaluated a second time in the simplest way to predict
//! the output.

use antar_template::Unresolved;

use super::dice::Dice;
use super::tree::{NAMES, Text, Tree};

#[derive(Clone, Debug)]
pub(crate) enum Expr {
    /// From the context this many blocks further out.
    Path(usize, Vec<&'static str>),
    Root(Vec<&'static str>),
    Index,
    Key,
    First,
    Last,
    /// The first that is neither missing, null nor empty text.
    Default(Box<Expr>, &'static str),
    Lookup(Box<Expr>, &'static str),
    Json(Box<Expr>),
    Not(Box<Expr>),
    /// A helper whose result the model does not predict.
    Helper(&'static str, Box<Expr>),
}

const HELPERS: [&str; 18] = [
    "upper P",
    "lower P",
    "trim P",
    "truncate P 3 end=\"\\\"\"",
    "replace P \"a\" \"\\\\\"",
    "hash P",
    "base64 P",
    "urlencode P",
    "number P 2",
    "join P \"\\\"\"",
    "date P",
    "phone P \"62\"",
    "or P \"\\u000d\\u000a\"",
    "and P P",
    "eq P 1",
    "hmac P \"k\" \"sha1\"",
    "default P null",
    "lookup (split P \",\") 0",
];

/// The enclosing blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    /// For each, whether it is a loop.
    pub(crate) loops: Vec<bool>,
}

impl Around {
    pub(crate) fn inside(&self, is_loop: bool) -> Around {
        let mut inner = self.clone();
        inner.loops.push(is_loop);
        inner
    }
}

pub(crate) fn path(dice: &mut Dice, around: &Around) -> Expr {
    let depth = around.loops.len();
    let mut steps = Vec::new();
    if depth == 0 || dice.one_in(2) {
        steps.push(if dice.one_in(4) { "list" } else { dice.pick(&NAMES) });
        if dice.one_in(4) {
            steps.push(dice.pick(&["a", "b", "name", "0", "1"]));
        }
    }
    match dice.below(6) {
        0 if depth > 0 => Expr::Path(1 + dice.below(depth), steps),
        1 => Expr::Root(if steps.is_empty() { vec!["a"] } else { steps }),
        _ => Expr::Path(0, steps),
    }
}

pub(crate) fn expr(dice: &mut Dice, around: &Around) -> Expr {
    let of = |dice: &mut Dice| Box::new(path(dice, around));
    match dice.below(14) {
        0 if around.loops.contains(&true) => {
            dice.pick(&[|| Expr::Index, || Expr::Key, || Expr::First, || Expr::Last])()
        }
        1 => Expr::Default(of(dice), dice.pick(&["none", "\r\nX: y", "\"", "", "%&<"])),
        2 => Expr::Lookup(of(dice), dice.pick(&["a", "name", "1"])),
        3 => Expr::Json(of(dice)),
        4 => Expr::Helper(dice.pick(&HELPERS), of(dice)),
        _ => *of(dice),
    }
}

pub(crate) fn condition(dice: &mut Dice, around: &Around) -> Expr {
    match expr(dice, around) {
        some if dice.one_in(5) => Expr::Not(Box::new(some)),
        some => some,
    }
}

fn dotted(steps: &[&str]) -> String {
    if steps.is_empty() { "this".to_owned() } else { steps.join(".") }
}

impl Expr {
    /// The text without braces, as in a tag of its own.
    pub(crate) fn words(&self) -> String {
        match self {
            Expr::Path(up, steps) => format!("{}{}", "../".repeat(*up), dotted(steps)),
            Expr::Root(steps) => format!("@root.{}", dotted(steps)),
            Expr::Index => "@index".to_owned(),
            Expr::Key => "@key".to_owned(),
            Expr::First => "@first".to_owned(),
            Expr::Last => "@last".to_owned(),
            Expr::Default(of, text) => {
                format!("default {} {}", of.words(), antar_json::quote(text))
            }
            Expr::Lookup(of, key) => format!("lookup {} \"{key}\"", of.words()),
            Expr::Json(of) => format!("json {}", of.words()),
            Expr::Not(of) => format!("not {}", of.argument()),
            Expr::Helper(form, of) => form.replace('P', &of.words()),
        }
    }

    pub(crate) fn argument(&self) -> String {
        match self {
            Expr::Json(of) => of.argument(),
            Expr::Default(..) | Expr::Lookup(..) | Expr::Not(_) | Expr::Helper(..) => {
                format!("({})", self.words())
            }
            _ => self.words(),
        }
    }
}

/// A tag that writes a value.
#[derive(Clone, Debug)]
pub(crate) struct Hole {
    pub(crate) expr: Expr,
    pub(crate) token: String,
}

/// `trims`: whether the adjacent text may lose its spaces.
pub(crate) fn hole(dice: &mut Dice, around: &Around, trims: bool) -> Hole {
    let expr = expr(dice, around);
    let words = expr.words();
    let token = match dice.below(8) {
        0 => format!("{{{{{{{words}}}}}}}"),
        1 if !words.contains(' ') => format!("{{{{&{words}}}}}"),
        2 => format!("{{{{ {words} }}}}"),
        3 if trims => format!("{{{{~{words}~}}}}"),
        _ => format!("{{{{{words}}}}}"),
    };
    Hole { expr, token }
}

struct Frame {
    this: Tree,
    turn: Option<Turn>,
}

#[derive(Clone)]
pub(crate) struct Turn {
    index: usize,
    key: Option<Text>,
    last: bool,
}

/// State of one evaluation.
pub(crate) struct Model {
    frames: Vec<Frame>,
    pub(crate) policy: Unresolved,
    /// The model can't predict the output.
    pub(crate) unknown: bool,
    /// A hole had no value.
    pub(crate) unresolved: bool,
    /// A hole had an array or object.
    pub(crate) nested: bool,
}

impl Model {
    pub(crate) fn new(event: &Tree, policy: Unresolved) -> Model {
        let frames = vec![Frame { this: event.clone(), turn: None }];
        Model { frames, policy, unknown: false, unresolved: false, nested: false }
    }

    pub(crate) fn value(&mut self, expr: &Expr) -> Option<Tree> {
        let walk = |from: &Tree, steps: &[&str]| {
            steps.iter().try_fold(from.clone(), |at, step| at.step(step).cloned())
        };
        let turn = || self.frames.iter().rev().find_map(|frame| frame.turn.clone());
        let number = |n: usize| Tree::Number(n.to_string());
        match expr {
            Expr::Path(up, steps) => walk(&self.frames[self.frames.len() - 1 - up].this, steps),
            Expr::Root(steps) => walk(&self.frames[0].this, steps),
            Expr::Index => turn().map(|turn| number(turn.index)),
            Expr::Key => turn().map(|turn| turn.key.map_or_else(|| number(turn.index), Tree::Text)),
            Expr::First => turn().map(|turn| Tree::Bool(turn.index == 0)),
            Expr::Last => turn().map(|turn| Tree::Bool(turn.last)),
            Expr::Default(of, text) => match self.value(of) {
                Some(Tree::Text(empty)) if empty.units.is_empty() => None,
                found => found.filter(|found| *found != Tree::Null),
            }
            .or_else(|| Some(Tree::Text(Text::plain(text)))),
            Expr::Lookup(of, key) => self.value(of)?.step(key).cloned(),
            Expr::Json(of) => self.value(of),
            Expr::Not(of) => Some(Tree::Bool(!self.holds(of))),
            Expr::Helper(..) => {
                self.unknown = true;
                None
            }
        }
    }

    pub(crate) fn holds(&mut self, expr: &Expr) -> bool {
        truthy(self.value(expr).as_ref(), false)
    }

    /// The value of a hole; sets a flag if it has none, or if it is an array or object.
    pub(crate) fn hole(&mut self, hole: &Hole) -> Option<Tree> {
        let value = self.value(&hole.expr);
        self.unresolved |= value.is_none();
        self.nested |= value.as_ref().is_some_and(Tree::is_container);
        value
    }

    /// The text that a hole writes, before escaping.
    pub(crate) fn text(&mut self, hole: &Hole) -> Text {
        match self.hole(hole) {
            None if self.policy == Unresolved::Literal => Text::plain(&hole.token),
            None | Some(Tree::Null) => Text::default(),
            Some(Tree::Text(text)) => text,
            Some(other) => Text::plain(&other.compact()),
        }
    }

    /// Runs `each` once for every turn; false if there was none.
    pub(crate) fn each(&mut self, subject: &Expr, mut each: impl FnMut(&mut Model)) -> bool {
        let turns: Vec<(Option<Text>, Tree)> = match self.value(subject) {
            Some(Tree::Array(elements)) => {
                elements.into_iter().map(|element| (None, element)).collect()
            }
            Some(Tree::Object(members)) => {
                members.into_iter().map(|(key, value)| (Some(key), value)).collect()
            }
            _ => Vec::new(),
        };
        let count = turns.len();
        for (index, (key, this)) in turns.into_iter().enumerate() {
            let turn = Some(Turn { index, key, last: index + 1 == count });
            self.frames.push(Frame { this, turn });
            each(self);
            self.frames.pop();
        }
        count > 0
    }

    /// Runs `body` with the value as context; false if there is none.
    pub(crate) fn with(&mut self, subject: &Expr, body: impl FnOnce(&mut Model)) -> bool {
        match self.value(subject) {
            Some(this) if truthy(Some(&this), true) => {
                self.frames.push(Frame { this, turn: None });
                body(self);
                self.frames.pop();
                true
            }
            _ => false,
        }
    }
}

fn truthy(value: Option<&Tree>, zero_is_true: bool) -> bool {
    match value {
        None | Some(Tree::Null) => false,
        Some(Tree::Bool(yes)) => *yes,
        Some(Tree::Number(text)) => {
            let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
            zero_is_true || mantissa.contains(|c: char| ('1'..='9').contains(&c))
        }
        Some(Tree::Text(text)) => !text.units.is_empty(),
        Some(Tree::Array(elements)) => !elements.is_empty(),
        Some(Tree::Object(_)) => true,
    }
}
