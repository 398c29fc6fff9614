//! The Rust SDK for Antar plugins.
//!
//! A plugin is a function. A *filter* passes or drops an event, a *transform* returns new data:
//!
//! ```
//! use antar_sdk::{Config, Event, Verdict, filter};
//!
//! #[derive(Config)]
//! struct ByLabel {
//!     /// One of these must be among the conversation's labels.
//!     any: Vec<String>,
//! }
//!
//! /// Passes conversations that carry one of the labels.
//! #[filter]
//! fn by_label(event: Event, config: ByLabel) -> Verdict {
//!     match event.strings("conversation.labels").find(|label| config.any.contains(label)) {
//!         Some(_) => Verdict::Pass,
//!         None => Verdict::drop(format!("no label of {:?}", config.any)),
//!     }
//! }
//!
//! let event = antar_sdk::testing::event(r#"{"conversation": {"labels": ["vip"]}}"#);
//! assert_eq!(by_label(event, ByLabel { any: vec!["vip".into()] }), Verdict::Pass);
//! ```
//!
//! ```
//! use antar_sdk::{Event, Outcome, Problem, transform};
//!
//! /// Adds a full name.
//! #[transform]
//! fn full_name(event: Event) -> Result<Outcome, Problem> {
//!     let Some(first) = event.text("contact.first") else { return Ok(Outcome::Unchanged) };
//!     let last = event.text("contact.last").unwrap_or_default();
//!     Ok(Outcome::replace(event.data.set("contact.name", &format!("{first} {last}"))?))
//! }
//!
//! let event = antar_sdk::testing::event(r#"{"contact": {"first": "Ayu", "last": "Lestari"}}"#);
//! let named = r#"{"contact": {"first": "Ayu", "last": "Lestari", "name": "Ayu Lestari"}}"#;
//! let named = antar_sdk::testing::event(named).data;
//! assert_eq!(full_name(event), Ok(Outcome::replace(named)));
//! ```
//!
//! `Event` is `Event<Json>`: the data as it was posted, including key order, escapes and number
//! text. `Event<MyData>` reads it into a type of your own with serde.
//!
//! Compiled for `wasm32-unknown-unknown`, the crate is a plugin that Antar accepts. On other
//! targets the attributes leave an ordinary function, so unit tests need no WASM: see [`testing`].

extern crate self as antar_sdk;

mod answer;
#[cfg(all(target_arch = "wasm32", feature = "arena"))]
mod arena;
mod config;
mod date;
mod edit;
mod event;
mod guest;
mod json;
pub mod log;
mod path;
pub mod phone;
pub mod testing;

pub use answer::{IntoOutcome, IntoVerdict, Outcome, Problem, Replacement, Verdict};
/// The JSON reader and writer on which [`Json`] is built.
pub use antar_json as json_text;
pub use antar_sdk_macros::{Config, filter, transform};
pub use config::Config;
pub use date::{Date, Local};
pub use event::Event;
pub use json::Json;
pub use schemars;
pub use serde;

/// For the code that the attributes generate.
#[doc(hidden)]
pub mod __private {
    pub use crate::guest::{config_schema, filter, prepare, transform};
    #[cfg(target_arch = "wasm32")]
    pub use wit_bindgen;
    pub use {schemars, serde};
}
