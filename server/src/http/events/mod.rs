//! Events: the resource, and calls to incoming URLs.

pub(super) mod expect;
pub(super) mod incoming;
pub(super) mod refused;
pub(super) mod rejections;
pub(super) mod resource;
