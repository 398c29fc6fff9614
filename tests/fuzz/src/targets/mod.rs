//! The parsers that read what strangers write, one row each.

mod answers;
mod events;
mod json;
mod manifests;
mod plugins;
mod rules;
mod schemas;
mod sources;
mod templates;
mod webhooks;

pub(crate) use self::sources::{called, source};
use crate::dice::Dice;

/// A parser, and what is tried on it.
pub struct Target {
    pub name: &'static str,
    /// What is read, and by whom it is written.
    pub about: &'static str,
    /// Valid inputs, which are damaged.
    pub corpus: fn() -> Vec<Vec<u8>>,
    /// A new input.
    pub grow: fn(&mut Dice) -> Vec<u8>,
    /// Reads an input. It may be refused; a promise that does not hold is a panic.
    pub read: fn(&[u8]),
    /// The most bytes that may be in use at once: this many for each byte of the input, …
    pub memory_factor: usize,
    /// … and this many in any case.
    pub memory_bytes: usize,
}

const MIB: usize = 1 << 20;

/// All targets, by name.
pub const ALL: &[Target] = &[
    Target {
        name: "answers",
        about: "status and headers of receivers' answers: Retry-After, instructions, JSON bodies",
        corpus: answers::corpus,
        grow: answers::grow,
        read: answers::read,
        memory_factor: 64,
        memory_bytes: MIB,
    },
    Target {
        name: "cloudevents",
        about: "CloudEvents: structured, batched, and in headers",
        corpus: events::cloud_corpus,
        grow: events::cloud_grow,
        read: events::cloud_read,
        memory_factor: 256,
        memory_bytes: MIB,
    },
    Target {
        name: "cursors",
        about: "cursors of lists, times, ids and types, as callers write them into queries",
        corpus: events::word_corpus,
        grow: events::word_grow,
        read: events::word_read,
        memory_factor: 64,
        memory_bytes: MIB,
    },
    Target {
        name: "events",
        about: "posted events, single and in batches",
        corpus: events::corpus,
        grow: events::grow,
        read: events::read,
        memory_factor: 256,
        memory_bytes: MIB,
    },
    Target {
        name: "facets",
        about: "values at the paths of facets, and the filters of webhooks over them",
        corpus: rules::facet_corpus,
        grow: rules::facet_grow,
        read: rules::facet_read,
        memory_factor: 256,
        memory_bytes: 2 * MIB,
    },
    Target {
        name: "json",
        about: "JSON: the parser, views, copies, and the scanner of guests",
        corpus: json::corpus,
        grow: json::grow,
        read: json::read,
        memory_factor: 256,
        memory_bytes: MIB,
    },
    Target {
        name: "manifests",
        about: "YAML manifests of `antar apply`",
        corpus: manifests::corpus,
        grow: manifests::grow,
        read: manifests::read,
        memory_factor: 2_048,
        memory_bytes: 16 * MIB,
    },
    Target {
        name: "patterns",
        about: "rules: the pattern, the evaluator, its explanation, and the index",
        corpus: rules::corpus,
        grow: rules::grow,
        read: rules::read,
        memory_factor: 1_024,
        memory_bytes: 16 * MIB,
    },
    Target {
        name: "plugins",
        about: "uploads: inspection and rewriting of modules and components, without compiling them",
        corpus: plugins::corpus,
        grow: plugins::grow,
        read: plugins::read,
        memory_factor: 1_024,
        memory_bytes: 64 * MIB,
    },
    Target {
        name: "schemas",
        about: "JSON Schemas, and documents that are validated by them",
        corpus: schemas::corpus,
        grow: schemas::grow,
        read: schemas::read,
        memory_factor: 4_096,
        memory_bytes: 32 * MIB,
    },
    Target {
        name: "sources",
        about: "calls to /in/…: path, query, headers, and bodies as JSON, form, multipart, text or bytes",
        corpus: sources::corpus,
        grow: sources::grow,
        read: sources::read,
        memory_factor: 512,
        memory_bytes: 4 * MIB,
    },
    Target {
        name: "template-text",
        about: "any text as a template, for every place; `templates` has those that mean something",
        corpus: templates::corpus,
        grow: templates::grow,
        read: templates::read,
        memory_factor: 2_048,
        memory_bytes: 64 * MIB,
    },
    Target {
        name: "urls",
        about: "URLs of webhooks, and the addresses that they may lead to",
        corpus: webhooks::url_corpus,
        grow: webhooks::url_grow,
        read: webhooks::url_read,
        memory_factor: 256,
        memory_bytes: 4 * MIB,
    },
    Target {
        name: "webhooks",
        about: "specs of webhooks, profiles, sources and event types, with everything written inside",
        corpus: webhooks::corpus,
        grow: webhooks::grow,
        read: webhooks::read,
        memory_factor: 4_096,
        memory_bytes: 64 * MIB,
    },
];

/// The target of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}

/// The input before the first empty line, and what follows it.
fn halves(input: &[u8]) -> (&[u8], &[u8]) {
    match input.windows(2).position(|two| two == b"\n\n") {
        Some(at) => (&input[..at], &input[at + 2..]),
        None => (input, b""),
    }
}

/// Two texts as one input: see [`halves`].
fn joined(first: &str, second: &str) -> Vec<u8> {
    format!("{first}\n\n{second}").into_bytes()
}
