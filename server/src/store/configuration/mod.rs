//! Stored configuration: one file per table, the snapshot of all of it, and changes by other nodes.

pub(super) mod changes;
pub(super) mod event_types;
pub(super) mod facets;
pub(super) mod keys;
pub(super) mod plugins;
pub(super) mod profiles;
pub(super) mod secrets;
pub(super) mod settings;
pub(super) mod snapshot;
pub(super) mod sources;
pub(super) mod tenants;
pub(super) mod webhooks;

use super::db::database::Database;

/// All configuration tables.
#[derive(Clone)]
pub struct Configuration {
    db: Database,
}

impl Configuration {
    pub(super) fn new(db: Database) -> Configuration {
        Configuration { db }
    }
}
