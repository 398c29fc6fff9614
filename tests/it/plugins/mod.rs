//! Plugins: called, written in several languages, upgraded.

pub(crate) mod calls;
mod compiling;
mod forged;
pub(crate) mod languages;
mod scripts;
pub(crate) mod tooling;
mod upgrades;
