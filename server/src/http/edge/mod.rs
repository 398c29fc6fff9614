//! What all handlers share: authentication, bodies, paths, pages, responses and problems; and before them the
//! limits of what callers may hold.

pub(super) mod answer;
pub(super) mod auth;
pub(super) mod body;
pub(super) mod budget;
pub(super) mod client_address;
pub(super) mod connection;
pub(super) mod error;
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

use self::budget::{Budget, Limit, Limits};
use self::error::Problem;
use self::refusals::Refusals;
use crate::config::Config;

/// What the connections of a server share.
pub(crate) struct Edge {
    pub(crate) config: Arc<Config>,
    pub(crate) connections: Arc<Budget>,
    /// Bytes of bodies in memory.
    pub(crate) memory: Arc<Budget>,
    /// Bytes of bodies in files.
    pub(crate) files: Arc<Budget>,
    pub(crate) refusals: Refusals,
    /// When the database was last asked whether it is there, and what it answered.
    pub(crate) database: tokio::sync::Mutex<Option<(Instant, Result<(), Problem>)>>,
}

impl Edge {
    pub(crate) fn new(config: Arc<Config>) -> Edge {
        let (server, intake) = (&config.server, &config.intake);
        let limit = |max, setting| Limit { max, setting };
        let none = limit(usize::MAX, "");
        let connections = Limits {
            what: "connections",
            server: limit(server.connections_max, "server.connections_max"),
            tenant: none,
            address: limit(
                server.connections_per_address_max,
                "server.connections_per_address_max",
            ),
        };
        let memory = Limits {
            what: "bytes of bodies",
            server: limit(intake.body_bytes_in_flight_max, "intake.body_bytes_in_flight_max"),
            tenant: limit(
                intake.body_bytes_in_flight_per_tenant_max,
                "intake.body_bytes_in_flight_per_tenant_max",
            ),
            address: limit(
                intake.body_bytes_in_flight_per_address_max,
                "intake.body_bytes_in_flight_per_address_max",
            ),
        };
        let files = Limits {
            what: "bytes of large bodies",
            server: limit(intake.body_file_bytes_max, "intake.body_file_bytes_max"),
            tenant: limit(
                intake.body_file_bytes_per_tenant_max,
                "intake.body_file_bytes_per_tenant_max",
            ),
            address: limit(
                intake.body_bytes_in_flight_per_address_max,
                "intake.body_bytes_in_flight_per_address_max",
            ),
        };
        Edge {
            connections: Budget::new(connections),
            memory: Budget::new(memory),
            files: Budget::new(files),
            refusals: Refusals::new(server.log_refusals_per_minute_max),
            database: tokio::sync::Mutex::default(),
            config,
        }
    }
}
