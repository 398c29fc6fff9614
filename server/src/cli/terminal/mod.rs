//! Output for people: prose on a terminal, JSON lines in a pipe, and errors about wrong usage.

pub(super) mod pretty;
pub(super) mod screen;
pub(super) mod usage;
