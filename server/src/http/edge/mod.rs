//! What all handlers share: authentication, bodies, paths, pages, responses and problems; and before them the
//! limits of what callers may hold.

pub(super) mod answer;
pub(super) mod auth;
pub(super) mod body;
pub(super) mod client_address;
pub(super) mod connection;
pub(super) mod error;
pub(super) mod holder;
pub(super) mod hops;
pub(super) mod middleware;
pub(super) mod page;
pub(super) mod patch;
pub(super) mod path;
pub(super) mod received;
pub(super) mod refusals;
pub(super) mod sample_event;
pub(super) mod settings;
pub(super) mod unread;

use std::sync::Arc;
use std::time::Instant;

use self::error::Problem;
use self::holder::{Budget, HolderLimits};
use self::refusals::Refusals;
use crate::budget::{Limit, Limits};
use crate::config::Config;

/// What the connections of a server share.
pub(crate) struct Edge {
    pub(crate) config: Arc<Config>,
    pub(crate) connections: Arc<Budget>,
    /// Bytes of bodies in memory.
    pub(crate) memory: Arc<Budget>,
    /// Bytes of bodies in files.
    pub(crate) files: Arc<Budget>,
    /// Calls that read, which may wait for a connection to the database.
    pub(crate) reads: Arc<Budget>,
    pub(crate) refusals: Refusals,
    /// When the database was last asked whether it is there, and what it answered.
    pub(crate) database: tokio::sync::Mutex<Option<(Instant, Result<(), Problem>)>>,
}

impl Edge {
    pub(crate) fn new(config: Arc<Config>) -> Edge {
        let (server, intake) = (&config.server, &config.intake);
        let limit = |by, max, setting| Limit { by, max, setting };
        let of_server = |max, setting| limit("the server", max, setting);
        let of_tenant = |max, setting| limit("the tenant", max, setting);
        let of_address = |max, setting| limit("this address", max, setting);
        let connections = Limits {
            what: "connections",
            server: of_server(server.connections_max, "server.connections_max"),
            owners: HolderLimits {
                tenant: of_tenant(usize::MAX, ""),
                address: of_address(
                    server.connections_per_address_max,
                    "server.connections_per_address_max",
                ),
            },
        };
        let bytes_of_address = of_address(
            intake.body_bytes_in_flight_per_address_max,
            "intake.body_bytes_in_flight_per_address_max",
        );
        let memory = Limits {
            what: "bytes of bodies",
            server: of_server(intake.body_bytes_in_flight_max, "intake.body_bytes_in_flight_max"),
            owners: HolderLimits {
                tenant: of_tenant(
                    intake.body_bytes_in_flight_per_tenant_max,
                    "intake.body_bytes_in_flight_per_tenant_max",
                ),
                address: bytes_of_address,
            },
        };
        let files = Limits {
            what: "bytes of large bodies",
            server: of_server(intake.body_file_bytes_max, "intake.body_file_bytes_max"),
            owners: HolderLimits {
                tenant: of_tenant(
                    intake.body_file_bytes_per_tenant_max,
                    "intake.body_file_bytes_per_tenant_max",
                ),
                address: bytes_of_address,
            },
        };
        // Some are left for claims, and for what is not a tenant's.
        let reads_max = config.store.readers_max.saturating_sub(2).max(2);
        let reads = Limits {
            what: "calls that read",
            server: of_server(reads_max, "store.readers_max"),
            owners: HolderLimits {
                tenant: of_tenant(usize::MAX, "store.readers_max"),
                address: of_address(usize::MAX, "store.readers_max"),
            },
        };
        Edge {
            reads: Budget::new(reads),
            connections: Budget::new(connections),
            memory: Budget::new(memory),
            files: Budget::new(files),
            refusals: Refusals::new(server.log_refusals_per_minute_max),
            database: tokio::sync::Mutex::default(),
            config,
        }
    }
}
