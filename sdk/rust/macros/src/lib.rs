//! The procedural macros of `antar-sdk`, which documents them.

mod config;
mod guest;

use proc_macro::TokenStream;

use guest::Kind;

/// Turns a function into the filter of this crate.
///
/// The function takes an `Event` and, if it has one, a config; it returns a `Verdict` or a `Result`
/// of one. Its doc comment is the plugin's description. It remains an ordinary function, so unit
/// tests can call it.
#[proc_macro_attribute]
pub fn filter(arguments: TokenStream, item: TokenStream) -> TokenStream {
    guest::expand(Kind::Filter, &arguments.into(), item.into()).into()
}

/// Turns a function into the transform of this crate.
///
/// The function takes an `Event` and, if it has one, a config; it returns an `Outcome`, new data as
/// `Json`, or a `Result` of either. Its doc comment is the plugin's description. It remains an
/// ordinary function, so unit tests can call it.
#[proc_macro_attribute]
pub fn transform(arguments: TokenStream, item: TokenStream) -> TokenStream {
    guest::expand(Kind::Transform, &arguments.into(), item.into()).into()
}

/// Turns a struct or enum into (part of) a config: it can be read, refuses unknown fields, and has
/// a JSON Schema with the doc comments as descriptions.
///
/// A field that may be left out is an `Option`, or has `#[config(default)]` or
/// `#[config(default = VALUE)]`. Attributes of `serde` and `schemars` work as well.
#[proc_macro_derive(Config, attributes(config, serde, schemars))]
pub fn config(item: TokenStream) -> TokenStream {
    config::expand(item.into()).into()
}
