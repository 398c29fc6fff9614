//! Payload templates: compiles Handlebars text into a proved plan and renders it over events.
//!
//! A template is compiled once and then rendered over events without any parsing. The compiler finds the
//! place of every hole (a JSON string, a JSON value, a URL's path, a header, …) from the syntax tree, and
//! the renderer escapes values for that place. A JSON template is *proved* while compiling: a JSON
//! automaton walks its text through both branches of every condition and any number of turns of every
//! loop, so that a template that compiles renders only valid JSON, for any event and any treatment of
//! missing values. URLs, forms and markup have automata of their own.
//!
//! Rendering uses no clock, no randomness, no files and no network: the same template over the same scope
//! yields the same bytes. Named secrets are left as markers ([`Piece::Secret`]), which [`resolve`] replaces
//! for each attempt.

mod cause;
mod compile;
mod content_type;
mod decimal;
mod error;
mod escape;
mod grammar;
mod helpers;
mod limits;
mod output;
mod pieces;
mod plan;
mod prove;
mod render;
mod syntax;
mod value;

pub use cause::Cause;
pub use compile::{Template, Variable};
pub use content_type::{ContentType, Place};
pub use error::{MissingSecret, RenderError, TemplateError};
pub use escape::Escape;
pub use helpers::names as helper_names;
pub use limits::Limits;
pub use pieces::{MASK, Piece, Rendered, masked, resolve, text_length_bytes};
pub use render::{Scope, Unresolved};
pub use syntax::suggest::nearest;
