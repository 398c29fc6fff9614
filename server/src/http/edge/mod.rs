//! What all handlers share: authentication, bodies, paths, pages, responses and problems.

pub(super) mod answer;
pub(super) mod auth;
pub(super) mod body;
pub(super) mod error;
pub(super) mod middleware;
pub(super) mod page;
pub(super) mod patch;
pub(super) mod path;
pub(super) mod sample_event;
pub(super) mod settings;
