//! Events come in and are looked at.

pub(super) mod incoming;
pub(super) mod resource;
