-- Times are milliseconds since 1970, given as arguments: no statement asks the database for its
-- clock. Ids of our own (UUIDv7) are their 16 bytes. The tenant '' is the operator.

CREATE TABLE tenants (
    id TEXT NOT NULL PRIMARY KEY,
    spec TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE profiles (
    name TEXT NOT NULL PRIMARY KEY,
    spec TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE event_types (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    spec TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE webhooks (
    id BLOB NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    spec TEXT NOT NULL,
    secret BLOB NOT NULL,
    secret_before BLOB,
    secret_before_until BIGINT,
    enabled BOOLEAN NOT NULL,
    paused BOOLEAN NOT NULL,
    disabled_reason TEXT,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (tenant, name)
);

CREATE TABLE webhook_revisions (
    webhook_id BLOB NOT NULL,
    revision BIGINT NOT NULL,
    spec TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (webhook_id, revision)
);

CREATE TABLE sources (
    id BLOB NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    spec TEXT NOT NULL,
    secret BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (tenant, name)
);

CREATE TABLE secrets (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE plugins (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    kind TEXT NOT NULL,
    digest TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    description TEXT NOT NULL,
    config_schema TEXT,
    state TEXT NOT NULL,
    error TEXT,
    pool TEXT,
    imports TEXT NOT NULL,
    exports TEXT NOT NULL,
    call_us BIGINT,
    created_at BIGINT NOT NULL,
    wasm BLOB NOT NULL,
    PRIMARY KEY (tenant, name, version)
);

CREATE TABLE api_keys (
    id BLOB NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE facet_values (
    tenant TEXT NOT NULL,
    facet TEXT NOT NULL,
    value TEXT NOT NULL,
    label TEXT,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, facet, value)
);

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    lease_until BIGINT NOT NULL
);

-- data is null where a plugin dropped the event at intake; dropped_reason then says why.
CREATE TABLE events (
    tenant TEXT NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    timestamp BIGINT NOT NULL,
    subject TEXT,
    attributes TEXT NOT NULL,
    data TEXT,
    schema_ok BOOLEAN NOT NULL,
    accepted_at BIGINT NOT NULL,
    deliveries BIGINT NOT NULL,
    dropped_reason TEXT
);
CREATE UNIQUE INDEX events_key ON events (tenant, id, source);
CREATE INDEX events_by_time ON events (tenant, accepted_at);
CREATE INDEX events_by_subject ON events (tenant, subject, accepted_at) WHERE subject IS NOT NULL;

-- next_attempt_at is set only while the delivery is pending and not held, owner_node only while it
-- is in flight: the two partial indexes hold what is open and nothing else.
CREATE TABLE deliveries (
    id BLOB NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    event_source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    webhook_id BLOB NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    stage TEXT,
    attempts BIGINT NOT NULL,
    schedule_start BIGINT NOT NULL,
    next_attempt_at BIGINT,
    owner_node TEXT,
    owner_epoch BIGINT,
    subject TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    frozen TEXT,
    CHECK (next_attempt_at IS NULL OR state = 'pending'),
    CHECK ((owner_node IS NOT NULL) = (state = 'in_flight'))
);
CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_owned ON deliveries (owner_node, owner_epoch) WHERE owner_node IS NOT NULL;
CREATE INDEX deliveries_waiting ON deliveries (webhook_id) WHERE state = 'pending';
CREATE INDEX deliveries_by_time ON deliveries (tenant, created_at);
CREATE INDEX deliveries_by_webhook ON deliveries (tenant, webhook_id, created_at);
CREATE INDEX deliveries_by_event ON deliveries (tenant, event_id, created_at);
CREATE INDEX deliveries_by_subject ON deliveries (tenant, subject, created_at) WHERE subject IS NOT NULL;
CREATE INDEX deliveries_unsent ON deliveries (tenant, state, created_at) WHERE state NOT IN ('delivered', 'in_flight');

-- The body of the request is not kept here: it is the delivery's frozen one.
CREATE TABLE attempts (
    delivery_id BLOB NOT NULL,
    number BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    took_ms BIGINT NOT NULL,
    request_method TEXT,
    request_url TEXT,
    request_headers TEXT,
    response_status BIGINT,
    response_headers TEXT,
    response_body TEXT,
    response_truncated BOOLEAN NOT NULL,
    error TEXT,
    unresolved TEXT
);
CREATE UNIQUE INDEX attempts_key ON attempts (delivery_id, number);

-- owner_node is set only while the replay runs. position says after what it goes on; it moves in the
-- transaction that makes the deliveries up to there.
CREATE TABLE replays (
    id BLOB NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    webhook_id BLOB NOT NULL,
    selection TEXT NOT NULL,
    state TEXT NOT NULL,
    pace_per_s BIGINT NOT NULL,
    total BIGINT NOT NULL,
    exact BOOLEAN NOT NULL,
    made BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    position TEXT NOT NULL,
    error TEXT,
    owner_node TEXT,
    owner_epoch BIGINT,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    CHECK ((owner_node IS NOT NULL) = (state = 'running'))
);
CREATE INDEX replays_running ON replays (owner_node, owner_epoch) WHERE owner_node IS NOT NULL;
CREATE INDEX replays_by_time ON replays (tenant, started_at);
CREATE INDEX replays_ended ON replays (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE idempotency (
    tenant TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    status BIGINT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, idempotency_key)
);
CREATE INDEX idempotency_by_time ON idempotency (created_at);
