//! The grammars that a template's output must follow, as automata that `prove` walks over the text.

pub(crate) mod form;
pub(crate) mod json;
pub(crate) mod markup;
pub(crate) mod url;
pub(crate) mod xml;
