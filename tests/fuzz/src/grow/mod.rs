//! Writes inputs that are valid, or nearly so: what bytes alone rarely reach.

pub mod calls;
pub mod json;
pub mod rules;
pub mod schemas;
pub mod templates;
pub mod wasm;
