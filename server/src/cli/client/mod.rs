//! Commands that call the API.

pub(super) mod api;
pub(super) mod data;
pub(super) mod explain;
pub(super) mod forward;
pub(super) mod listen;
pub(super) mod options;
pub(super) mod preview;
pub(super) mod rejections;
pub(super) mod replay;
pub(super) mod request;
pub(super) mod send;
pub(super) mod sse;
pub(super) mod test;
pub(super) mod webhook;
