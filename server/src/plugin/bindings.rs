//! The interfaces of `sdk/wit`, version 1.0.0, as Rust types.

pub(super) mod filter {
    wasmtime::component::bindgen!({
        path: "../sdk/wit",
        world: "filter-plugin",
        exports: { default: async },
    });
}

pub(super) mod transform {
    wasmtime::component::bindgen!({
        path: "../sdk/wit",
        world: "transform-plugin",
        exports: { default: async },
        with: {
            "antar:plugin/types@1.0.0": super::filter::antar::plugin::types,
            "antar:plugin/log@1.0.0": super::filter::antar::plugin::log,
        },
    });
}

pub(super) use filter::antar::plugin::{log, types};

/// The interface that a filter exports.
pub(super) const FILTER: &str = "antar:plugin/filter@1.0.0";
/// The interface that a transform exports.
pub(super) const TRANSFORM: &str = "antar:plugin/transform@1.0.0";
/// Everything that a plugin may import: the log, and the types that its exports speak of.
pub(super) const IMPORTS: [&str; 2] = ["antar:plugin/log@1.0.0", "antar:plugin/types@1.0.0"];
