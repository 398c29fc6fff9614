//! The shape of a payload: the paths that its catalog entry knows.

use std::cell::Cell;

use antar_json::Document;
use serde::Serialize;

/// What stands at a path. URLs and headers take scalars only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VariableKind {
    /// A string, number, boolean or null.
    Scalar,
    Object,
    Array,
}

/// The structure of a payload, as far as the catalog describes it.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// None if neither schema nor example determine it.
    pub(super) kind: Option<VariableKind>,
    pub(super) description: String,
    pub(super) example: Option<Document>,
    pub(super) members: Vec<(String, Shape)>,
    pub(super) element: Option<Box<Shape>>,
    /// The object may have members that are not among `members`.
    pub(super) open: bool,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A value, with its kind if known.
    There(Option<VariableKind>),
    /// Unknown: not all members of the object there are known.
    Open { below: usize, known: Vec<&'a str> },
    /// No value can be there. The first `below` steps of the path exist; `known` are the members there.
    Nowhere { below: usize, known: Vec<&'a str> },
}

/// Steps that may still be spent on looking into schemas, examples and shapes. One step is one member looked
/// at, or one byte kept. A schema of a few hundred bytes describes more places than memory has room for, so
/// what is left when the steps are spent counts as unknown.
pub struct Effort(Cell<u64>);

/// Steps of one place in a shape: its memory.
pub(super) const PLACE_STEPS: usize = 32;

impl Effort {
    /// Enough for a catalog of large schemas, and spent in about a tenth of a second.
    pub(super) const STEPS_MAX: u64 = 10_000_000;

    /// Spends `steps`. False: there are not so many left.
    pub fn spend(&self, steps: usize) -> bool {
        let left = self.0.get().checked_sub(steps as u64);
        self.0.set(left.unwrap_or_default());
        left.is_some()
    }

    /// Whether all steps are spent.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.0.get() == 0
    }
}

impl Default for Effort {
    fn default() -> Effort {
        Effort(Cell::new(Self::STEPS_MAX))
    }
}

/// The shape of a value about which nothing is known.
pub(super) static OPEN: Shape = Shape {
    kind: None,
    description: String::new(),
    example: None,
    members: Vec::new(),
    element: None,
    open: true,
};

impl Shape {
    /// The shape below `steps`, or the last shape on the way and the number of steps to it.
    pub(super) fn at<'p>(
        &self,
        steps: impl Iterator<Item = &'p str>,
        effort: &Effort,
    ) -> Result<&Shape, (&Shape, usize)> {
        let mut shape = self;
        for (count, step) in steps.enumerate() {
            if !effort.spend(1 + shape.members.len()) {
                return Ok(&OPEN);
            }
            let next = match step {
                "[]" => {
                    // `each` iterates over objects as well; their members are treated as unknown.
                    let inner = shape.kind != Some(VariableKind::Scalar);
                    shape.element.as_deref().or(inner.then_some(&OPEN))
                }
                name => {
                    let member = shape.members.iter().find(|(key, _)| key == name).map(|(_, s)| s);
                    let element =
                        shape.element.as_deref().filter(|_| name.parse::<usize>().is_ok());
                    member.or(element)
                }
            };
            shape = next.ok_or((shape, count))?;
        }
        Ok(shape)
    }

    /// Finds what a path from the root leads to. The step `[]` is any element of an array.
    #[must_use]
    pub fn find(&self, steps: &[String], effort: &Effort) -> Found<'_> {
        let (shape, below) = match self.at(steps.iter().map(String::as_str), effort) {
            Ok(shape) => return Found::There(shape.kind),
            Err(last) => last,
        };
        let known = shape.members.iter().map(|(key, _)| key.as_str()).collect();
        let says_nothing = shape.kind.is_none()
            || (shape.kind == Some(VariableKind::Array) && shape.element.is_none());
        if shape.open || says_nothing {
            Found::Open { below, known }
        } else {
            Found::Nowhere { below, known }
        }
    }

    /// Whether a rule's path may lead to a value. Rules search every element of an array.
    #[must_use]
    pub fn may_hold<'p>(&self, mut steps: impl Iterator<Item = &'p str>, effort: &Effort) -> bool {
        if !effort.spend(1 + self.members.len()) {
            return true;
        }
        let mut shape = self;
        while let (VariableKind::Array, Some(element)) =
            (shape.kind.unwrap_or(VariableKind::Scalar), &shape.element)
        {
            shape = element;
        }
        let Some(step) = steps.next() else { return true };
        match shape.members.iter().find(|(key, _)| key == step) {
            Some((_, member)) => member.may_hold(steps, effort),
            None => shape.open || shape.kind != Some(VariableKind::Object),
        }
    }
}
