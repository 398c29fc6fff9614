//! From a template's text to expressions: tags, paths, and what was meant where a name is wrong.

pub(crate) mod expression;
pub(crate) mod parse;
pub(crate) mod path;
pub(crate) mod scan;
pub(crate) mod suggest;
