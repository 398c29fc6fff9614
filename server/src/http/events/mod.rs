//! Events: the resource, and calls to incoming URLs.

pub(super) mod incoming;
pub(super) mod resource;
