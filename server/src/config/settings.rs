//! The groups of settings. Each is written once, with its explanation, type and default.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// One setting, for documentation.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// `group.name`
    pub path: String,
    pub explanation: String,
    pub default: Json,
}

/// Declares a group: fields with explanation, type and default.
macro_rules! settings {
    ($(#[doc = $about:literal])* $name:ident { $($(#[doc = $doc:literal])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($(#[doc = $doc])* pub $field: $type,)* }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default,)* }
            }
        }

        impl $name {
            pub(super) fn explain(group: &str, into: &mut Vec<Setting>) {
                let defaults = $name::default();
                $(into.push(Setting {
                    path: format!("{group}.{}", stringify!($field)),
                    explanation: [$($doc),*].concat().trim().to_owned(),
                    default: serde_json::to_value(&defaults.$field).unwrap_or_default(),
                });)*
            }
        }
    };
}

settings!(
    /// Where the server listens and keeps its things.
    ServerConfig {
        /// Address and port to listen on.
        listen: String = "127.0.0.1:8090".to_owned(),
        /// Folder for the database, keys, `node.id` and the lock.
        data_dir: PathBuf = PathBuf::from("antar-data"),
        /// `postgres://…`; empty means SQLite in the data folder.
        database_url: String = String::new(),
        /// Permits plain HTTP and loopback receivers, also where a profile is `https_only`.
        dev: bool = false,
        /// What the URL of a source begins with when it is shown; empty: `http://` and the listen address.
        public_url: String = String::new(),
        /// Threads that answer HTTP; 0 means one for each core.
        workers: usize = 0,
        /// Networks of proxies that report the client's address in `Forwarded` or `X-Forwarded-For`, such as `10.0.0.0/8`.
        trusted_proxies: Vec<ipnet::IpNet> = Vec::new(),
        /// Connections of callers at once; one more is answered 503 and closed.
        connections_max: usize = 10_240,
        /// Connections from one address at once, or from one /64 of IPv6. Trusted proxies may have all.
        connections_per_address_max: usize = 1_024,
        /// How long the head of a request may take to arrive, in milliseconds; then its connection is closed.
        head_timeout_ms: u64 = 10_000,
        /// How long a caller may take nothing of its answer, in milliseconds; then its connection is closed.
        write_timeout_ms: u64 = 30_000,
        /// How long a shutdown waits for attempts under way, in milliseconds.
        drain_ms: u64 = 15_000,
        /// `pretty` or `json`; empty means pretty on a terminal, JSON in a pipe.
        log_format: String = String::new(),
        /// What is logged, such as `info` or `antar=debug,warn`.
        log: String = "info".to_owned(),
        /// Characters of one field in a line of the log; the rest is cut off.
        log_field_characters_max: usize = 1_000,
        /// Lines that one place in the program may log in a minute, except for `debug` and `trace`; more are counted.
        log_lines_per_minute_max: u32 = 300,
        /// Refused requests of one address and status that are logged in a minute; more are counted.
        log_refusals_per_minute_max: u32 = 10,
        /// Applies database migrations at start. Off: the server refuses to start until `antar migrate` has run.
        migrate: bool = true,
        /// Large answers that their callers have not taken yet, all tenants together, in bytes; beyond that a call that reads is refused.
        answer_bytes_max: usize = 512 << 20,
        /// Callers that listen to attempts at once, all tenants together.
        listeners_max: usize = 1_024,
        /// What waits for listeners, all tenants together, in bytes; beyond that the slowest listener of the tenant with the most is ended.
        listener_bytes_max: usize = 128 << 20,
    }
);

settings!(
    /// What is taken in.
    IntakeConfig {
        /// Longest request body, in bytes.
        body_bytes_max: usize = 4 << 20,
        /// How long a request body may take to arrive, in milliseconds.
        body_timeout_ms: u64 = 60_000,
        /// Longest body that is kept in memory while it arrives, in bytes; a longer one goes to a file in the data folder until it is complete.
        body_memory_bytes_max: usize = 1 << 20,
        /// Bytes of request bodies in memory at once; beyond that, requests are answered 503. No tenant or address gets more than it leaves to all others.
        body_bytes_in_flight_max: usize = 256 << 20,
        /// Bytes of one tenant's request bodies in memory at once; beyond that, its requests are answered 429. At least `plugins.upload_bytes_max`, or such uploads are refused.
        body_bytes_in_flight_per_tenant_max: usize = 64 << 20,
        /// Bytes from one address in memory at once, or from one /64 of IPv6, while the caller has no key; beyond that, its requests are answered 429.
        body_bytes_in_flight_per_address_max: usize = 32 << 20,
        /// Bytes of request bodies in files at once; beyond that, requests are answered 503.
        body_file_bytes_max: usize = 2 << 30,
        /// Bytes of one tenant's request bodies in files at once; beyond that, its requests are answered 429.
        body_file_bytes_per_tenant_max: usize = 512 << 20,
        /// How long a complete body in a file waits for room in memory, in milliseconds; then its request is answered 429 or 503.
        body_file_wait_ms: u64 = 10_000,
        /// Deepest nesting of JSON.
        depth_max: usize = 64,
        /// Fields of one multipart form that a source is called with.
        form_fields_max: usize = 10_000,
        /// Events in one request, and elements that a source splits.
        events_max: usize = 1_000,
        /// Events that one request becomes after intake plugins have split its own.
        made_events_max: usize = 10_000,
        /// Bytes of their data.
        made_bytes_max: usize = 32 << 20,
        /// Attributes of one event.
        attributes_max: usize = 32,
        /// Longest value of an attribute, in bytes.
        attribute_bytes_max: usize = 1_024,
        /// Deliveries that one event may make.
        deliveries_max: usize = 10_000,
        /// Size of an event times its deliveries, over all events of one request, in bytes; beyond that an event is refused. What templates and plugins make of it is bounded by the same number, but may always be twice the event.
        fanout_bytes_max: usize = 256 << 20,
        /// Subschemas in the JSON Schema of one event type.
        subschemas_max: usize = 10_000,
        /// Steps of validating one event against its type's schema; a step is one subschema for one value. An event that may take more counts as one that does not follow it.
        schema_steps_max: u64 = 2_000_000,
        /// Memory of the compiled regular expressions of one event type's schema, in bytes.
        schema_pattern_bytes_max: usize = 1 << 20,
        /// Steps of one webhook's rule and facets on one event; a step is one value that is looked at or compared with one condition. Beyond that the delivery fails at the stage `route`, with the reason `budget_exceeded`.
        rule_steps_max: u64 = 2_000_000,
        /// Steps of all webhooks' rules, facets and keys on one event.
        route_steps_max: u64 = 20_000_000,
        /// How long an `Idempotency-Key` is remembered, in milliseconds.
        idempotency_ms: u64 = 86_400_000,
    }
);

settings!(
    /// Work of tenants that would keep others waiting: it is done by a few threads, which take tenants in turn.
    WorkConfig {
        /// Threads for such work; 0 means one for every two cores.
        threads: usize = 0,
        /// Steps of schemas, rules, facets and keys that a request takes without waiting for its tenant's turn, and steps of comparing an answer with `success`.
        steps_at_once_max: u64 = 50_000,
        /// Bytes of a body, or of an event's data, that are parsed, routed and rendered without waiting for the tenant's turn.
        bytes_at_once_max: usize = 64 << 10,
        /// Pieces of work of one tenant that wait; beyond that intake answers 503.
        waiting_per_tenant_max: usize = 100,
        /// Pieces of work of all tenants that wait.
        waiting_max: usize = 10_000,
    }
);

impl WorkConfig {
    /// The number of threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
            threads => threads,
        }
    }
}

settings!(
    /// Events that come back, because a webhook sends them to where they came from.
    LoopsConfig {
        /// Deliveries of Antar that an event may have passed through, as the header `antar-hops` tells; beyond that it is dropped.
        hops_max: u32 = 8,
        /// Deliveries of one tenant that come of one event by way of events that came back; further ones are dropped. Each node counts for itself.
        deliveries_max: u32 = 10_000,
    }
);

settings!(
    /// How requests go out.
    DeliveryConfig {
        /// Time-out of an attempt over connect, TLS, headers and body, where neither webhook nor profile sets one.
        timeout_ms: u64 = 10_000,
        /// Longest time-out that a webhook may set.
        timeout_ms_max: u64 = 60_000,
        /// Attempts under way at once, all webhooks together.
        in_flight_max: usize = 1_024,
        /// Attempts under way at once to one webhook that sets no limit.
        in_flight_per_webhook_max: usize = 16,
        /// Attempts that take longer than this give the place they have to quicker ones.
        slow_after_ms: u64 = 1_000,
        /// Attempts under way that take longer, all webhooks together; each is a connection that is waited for.
        slow_in_flight_max: usize = 10_000,
        /// Longest wait that a receiver may ask for with `Retry-After`.
        retry_after_ms_max: u64 = 3_600_000,
        /// Longest rest of a webhook whose receiver answers 429 or 503 and does not say how long.
        rest_ms_max: u64 = 60_000,
        /// Attempts in a row that have failed before a webhook gets probes only.
        failing_attempts: u32 = 20,
        /// For how long they must have failed.
        failing_after_ms: u64 = 300_000,
        /// The wait before the first probe; it doubles with each that fails.
        probe_ms_min: u64 = 60_000,
        /// Longest wait between two probes.
        probe_ms_max: u64 = 1_800_000,
        /// Nothing but failures for so long disables a webhook; after half of it its tenant is warned.
        disable_after_ms: u64 = 432_000_000,
        /// Deliveries that wait in memory for their turn; the others wait in the database.
        queue_max: usize = 10_000,
        /// Memory for events and requests of deliveries that wait or are attempted, in bytes. A delivery takes one place of `queue_max` while it waits, and for each `queue_bytes_max / queue_max` bytes one more until its attempt has ended.
        queue_bytes_max: usize = 256 << 20,
        /// Places of one webhook.
        queue_per_webhook_max: usize = 1_000,
        /// Memory for requests that are rendered, sent or recorded at once, in bytes; those of up to 8 KiB don't count. A tenant never has more than it leaves to all others; what is beyond waits.
        request_bytes_max: usize = 512 << 20,
        /// Due deliveries taken from the database at once.
        claim_max: usize = 256,
        /// Deliveries of a webhook that one call begins anew.
        bulk_max: usize = 10_000,
        /// How often the database is asked for due deliveries when nothing else says so.
        poll_ms: u64 = 1_000,
        /// How much of an answer is kept, of its headers and of its body each, in bytes.
        response_bytes_max: usize = 64 << 10,
        /// Idle connections kept of one tenant to one host. Tenants share no connections.
        idle_per_host_max: usize = 64,
        /// Idle connections kept of one tenant. Beyond that, those that have been idle longest are closed.
        idle_per_tenant_max: usize = 1_024,
        /// Idle connections kept, all tenants together. Beyond that, the tenant with the most closes some.
        idle_max: usize = 4_096,
        /// How long an idle connection is kept, in milliseconds.
        idle_ms: u64 = 60_000,
        /// Longest `delay_s` that a webhook may set.
        delay_s_max: u64 = 2_592_000,
        /// Longest `window_s` of a webhook's `dedupe`.
        dedupe_window_s_max: u64 = 2_592_000,
        /// How host names are resolved: `async` asks the name servers itself; `system` calls the C library, with its plugins for other sources of names, in a few threads.
        resolver: String = "async".to_owned(),
        /// Look-ups of host names under way at once, all tenants together.
        lookups_max: usize = 1_024,
        /// Look-ups of host names under way at once of one tenant; further ones wait for them.
        lookups_per_tenant_max: usize = 32,
        /// How long one look-up may take, in milliseconds, without the wait for its turn.
        lookup_timeout_ms: u64 = 5_000,
        /// Threads of the resolver `system`; one tenant gets a quarter of them.
        lookup_threads_max: usize = 32,
        /// How long the addresses of a host name are remembered at most, in milliseconds; 0 looks them up for each connection. A shorter time that the name server says holds, down to a second.
        dns_cache_ms: u64 = 30_000,
        /// How long it is remembered that a host name could not be resolved, in milliseconds.
        dns_negative_cache_ms: u64 = 5_000,
        /// Host names that are remembered, all tenants together. Beyond that, the tenant with the most forgets half.
        dns_cache_max: usize = 10_000,
        /// Host names that are remembered of one tenant.
        dns_cache_per_tenant_max: usize = 1_000,
        /// Name servers, search domains and options of the resolver `async`; read again when it changes.
        resolv_conf: PathBuf = PathBuf::from("/etc/resolv.conf"),
        /// Names that need no name server; read again when it changes.
        hosts_file: PathBuf = PathBuf::from("/etc/hosts"),
        /// Name servers that are asked instead of those in `resolv_conf`, such as `127.0.0.1:5353`.
        name_servers: Vec<std::net::SocketAddr> = Vec::new(),
        /// Networks that deliveries may go to although they are not public, such as `10.0.0.0/8`.
        allowed_networks: Vec<ipnet::IpNet> = Vec::new(),
        /// How long the old secret of a webhook stays valid after a rotation.
        rotation_overlap_ms: u64 = 86_400_000,
    }
);

impl DeliveryConfig {
    /// Bytes of a delivery for which it takes one more place in memory.
    #[must_use]
    pub fn place_bytes(&self) -> usize {
        (self.queue_bytes_max / self.queue_max.max(1)).max(1)
    }
}

settings!(
    /// The database.
    StoreConfig {
        /// Connections for reading.
        readers_max: usize = 8,
        /// Writes that share a transaction at most.
        commit_batch_max: usize = 256,
        /// How long SQLite's writer waits for more to share a transaction, where many shared the one before; in
        /// microseconds. 0: not at all.
        commit_wait_us: u64 = 500,
        /// Writes that wait for their transaction.
        commit_queue_max: usize = 10_000,
        /// How long an event waits for its place among those writes, and for its tenant's share of them. Then
        /// intake answers 503.
        commit_queue_wait_ms: u64 = 5_000,
        /// Events and deliveries that wait for their transaction. A tenant never has more of them than it leaves
        /// to all others.
        commit_rows_max: usize = 24_000,
        /// How long the record of an attempt waits for an event to share a commit with, while nothing waits for its
        /// delivery or its place. What was sent in that time before a crash is sent again.
        record_wait_ms: u64 = 20,
        /// How long PostgreSQL may take to answer: to a new connection, and to a transaction. Then its connection
        /// is given up.
        answer_timeout_ms: u64 = 15_000,
        /// How long a write waits for another process's lock on SQLite.
        busy_timeout_ms: u32 = 10_000,
        /// How long a node that is silent keeps what it owns.
        lease_ms: i64 = 15_000,
    }
);

settings!(
    /// What tenants may configure.
    TenantConfig {
        /// Webhooks of one tenant.
        webhooks_max: usize = 100_000,
        /// Settings of one webhook, source or tenant as JSON, in bytes.
        settings_bytes_max: usize = 256 << 10,
        /// Types and patterns of types in one webhook.
        types_per_webhook_max: usize = 1_000,
        /// Signers in one webhook.
        signers_per_webhook_max: usize = 16,
        /// Revisions of one webhook that are kept; each save beyond that deletes the oldest.
        revisions_max: usize = 50,
        /// Event types of one tenant.
        event_types_max: usize = 2_000,
        /// One event type as JSON, with schema and example, in bytes.
        event_type_bytes_max: usize = 512 << 10,
        /// Memory that webhooks, event types, sources, secrets and facet values of one tenant may take, in bytes. It is estimated from their texts and from what these are compiled into.
        configuration_bytes_max: usize = 256 << 20,
        /// Plugins in one webhook.
        plugins_per_webhook_max: usize = 16,
        /// Headers in one webhook.
        headers_max: usize = 64,
        /// Longest value of a secret, in bytes.
        secret_bytes_max: usize = 16 << 10,
        /// Different secrets in one request.
        secrets_per_request_max: usize = 64,
        /// Bytes of all secrets in one request, each as often as it occurs.
        secret_bytes_per_request_max: usize = 256 << 10,
        /// Secrets of one tenant, those of webhooks and sources not counted.
        secrets_max: usize = 1_000,
        /// API keys of one tenant.
        keys_max: usize = 1_000,
        /// Sources of one tenant.
        sources_max: usize = 1_000,
        /// Versions of all plugins of one tenant.
        plugin_versions_max: usize = 500,
        /// Files of all plugin versions of one tenant, in bytes.
        plugin_bytes_max: u64 = 1 << 30,
        /// Values of one facet that are learned from events.
        facet_values_max: usize = 1_000,
        /// Longest value or label of a facet, in bytes.
        facet_value_bytes_max: usize = 1_024,
        /// Configurations that are compiled at once, all tenants together; of one tenant only one at a time.
        compiles_max: usize = 4,
        /// Changes of one tenant that wait for each other; beyond that a change is answered with 503.
        changes_waiting_max: usize = 256,
        /// Callers that listen to the attempts of one tenant at once.
        listeners_max: usize = 16,
        /// What waits for the listeners of one tenant, in bytes; beyond that the slowest of them is ended.
        listener_bytes_max: usize = 8 << 20,
        /// Longest body of a request or response that a listener gets, in bytes; it reads a longer one from the delivery's attempts.
        listener_body_bytes_max: usize = 256 << 10,
        /// Items in one page of a list.
        page_max: usize = 200,
        /// Bytes in one page of a list, which ends early with a `next_cursor`; one item is always in it.
        page_bytes_max: usize = 8 << 20,
        /// Large answers of one tenant that their callers have not taken yet, in bytes; beyond that a call that reads is refused.
        answer_bytes_max: usize = 64 << 20,
    }
);

settings!(
    /// Calls and events that were refused.
    RejectionsConfig {
        /// How long they are kept, in seconds; 0 keeps none.
        kept_s: u64 = 86_400,
        /// Those of one tenant; beyond that the oldest go.
        per_tenant_max: usize = 500,
        /// Those of one tenant in a minute; beyond that they are only counted.
        per_minute_max: u32 = 60,
        /// Longest body that is kept with one, in bytes. Without its body it can't be sent in again.
        body_bytes_max: usize = 64 << 10,
    }
);

settings!(
    /// How old events are sent again.
    ReplayConfig {
        /// Deliveries that a replay makes in a second, where the request does not say.
        pace_per_s: u32 = 50,
        /// The fastest pace that a request may ask for.
        pace_per_s_max: u32 = 1_000,
        /// Deliveries of a replay that is finished before it is answered; a larger one goes on after it.
        at_once_max: u64 = 100,
        /// Deliveries of one replay that are due and not yet attempted; beyond that it waits for them.
        open_max: usize = 100,
        /// Events that a replay reads at once, in bytes; one is always read.
        read_bytes_max: usize = 16 << 20,
        /// Events or deliveries that are looked at to say how many a replay will make.
        look_max: usize = 100_000,
        /// Events that one replay may list by id.
        event_ids_max: usize = 10_000,
        /// Replays of one tenant that run at once.
        running_max: usize = 10,
        /// How long it is remembered what became of a replay, in milliseconds.
        keep_ms: u64 = 2_592_000_000,
    }
);

settings!(
    /// How long what has happened is kept. Tenants and event types may say otherwise.
    RetentionConfig {
        /// How long an event is kept with its deliveries and attempts, in seconds; 0 keeps it for ever. What is still on its way is kept in any case.
        events_s: u64 = 2_592_000,
        /// How long the data of an event, and the bodies that were sent and came back, are kept, in seconds; 0 as long as the event.
        payloads_s: u64 = 0,
        /// Beyond this size of the database file the oldest events go, in bytes; 0 is no limit. SQLite only.
        bytes_max: u64 = 0,
        /// Events that are deleted in one transaction.
        batch_max: usize = 200,
        /// How often what is old is looked for, in milliseconds.
        every_ms: u64 = 60_000,
    }
);
