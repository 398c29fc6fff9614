//! Compiled configuration: tenants, webhooks and profiles in the form that the pipeline uses in memory.

pub(super) mod facet_values;
pub mod profile;
pub mod shape;
mod shape_reader;
pub mod subscription;
pub mod success_pattern;
pub mod tenant;
pub mod variables;
pub mod webhook;
