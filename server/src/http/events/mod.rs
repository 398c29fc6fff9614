//! Events: the resource, and calls to incoming URLs.

pub(super) mod expect;
pub(super) mod incoming;
pub(super) mod resource;
