//! Payload templates.
//!
//! Handlebars text is compiled once into a plan and then rendered over an event without any
//! parsing. Every hole knows the place it stands in (a JSON string, a JSON value, a URL's path, a
//! header, …), found from the syntax tree, and what is put there is escaped for that place. A JSON
//! template is *proved* while compiling: its text is walked over a JSON automaton, through both
//! branches of every condition and through any number of turns of every loop, so that what
//! compiles can render to nothing but valid JSON, for any event and any treatment of missing
//! values. URLs and markup are walked over automata of their own.
//!
//! Rendering knows no clock, no randomness, no files and no network: the same template over the
//! same scope is the same bytes. Named secrets are left as markers ([`Piece::Secret`]) and put in
//! by [`resolve`] for each attempt.

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
pub use pieces::{MASK, Piece, Rendered, masked, resolve};
pub use render::{Scope, Unresolved};
pub use syntax::suggest::nearest;
