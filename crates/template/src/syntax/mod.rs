//! Parses a template's text into expressions: tags, paths, and suggestions for wrong names.

pub(crate) mod expression;
pub(crate) mod parse;
pub(crate) mod path;
pub(crate) mod scan;
pub(crate) mod suggest;
