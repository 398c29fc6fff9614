//! What people read: prose on a terminal, JSON lines in a pipe, and how a wrong call is told.

pub(super) mod pretty;
pub(super) mod screen;
pub(super) mod usage;
