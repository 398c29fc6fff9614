//! Rust types generated from the WIT interfaces in `sdk/wit`, version 1.0.0.

/// Types shared by both worlds. An event is borrowed, so it is copied only once: into the guest.
mod shared {
    wasmtime::component::bindgen!({
        path: ["../sdk/wit", "../server/src/plugin/rewrite/host.wit"],
        inline: "package antar:server;
            world shared {
                import antar:plugin/log@1.0.0;
                import antar:host/direct-log;
                export antar:plugin/filter@1.0.0;
                export antar:plugin/transform@1.0.0;
            }",
        imports: { "antar:host/direct-log.write": trappable },
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: false },
    });
}

pub(super) mod filter {
    wasmtime::component::bindgen!({
        path: "../sdk/wit",
        world: "filter-plugin",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: false },
        with: {
            "antar:plugin/types@1.0.0": super::shared::antar::plugin::types,
            "antar:plugin/log@1.0.0": super::shared::antar::plugin::log,
        },
    });
}

pub(super) mod transform {
    wasmtime::component::bindgen!({
        path: "../sdk/wit",
        world: "transform-plugin",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: false },
        with: {
            "antar:plugin/types@1.0.0": super::shared::antar::plugin::types,
            "antar:plugin/log@1.0.0": super::shared::antar::plugin::log,
        },
    });
}

pub(super) use shared::antar::{
    host::direct_log,
    plugin::{log, types},
};

/// The interface that a filter exports.
pub(super) const FILTER: &str = "antar:plugin/filter@1.0.0";
/// The interface that a transform exports.
pub(super) const TRANSFORM: &str = "antar:plugin/transform@1.0.0";
/// The interface that a plugin writes log lines through.
pub(super) const LOG: &str = "antar:plugin/log@1.0.0";
/// What a plugin may import besides WASI: the log, and the types that its exports use.
pub(super) const IMPORTS: [&str; 2] = [LOG, "antar:plugin/types@1.0.0"];
