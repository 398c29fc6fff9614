//! Diesel's table definitions; the migrations create the tables.

diesel::table! {
    tenants (id) {
        id -> Text,
        spec -> Text,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    profiles (name) {
        name -> Text,
        spec -> Text,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    event_types (tenant, name) {
        tenant -> Text,
        name -> Text,
        spec -> Text,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    webhooks (id) {
        id -> Binary,
        tenant -> Text,
        name -> Text,
        spec -> Text,
        secret -> Binary,
        secret_before -> Nullable<Binary>,
        secret_before_until -> Nullable<BigInt>,
        enabled -> Bool,
        paused -> Bool,
        disabled_reason -> Nullable<Text>,
        revision -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
        failing_since -> Nullable<BigInt>,
        failing_told_at -> Nullable<BigInt>,
        probed -> Bool,
    }
}

diesel::table! {
    webhook_revisions (webhook_id, revision) {
        webhook_id -> Binary,
        revision -> BigInt,
        spec -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    sources (id) {
        id -> Binary,
        tenant -> Text,
        name -> Text,
        spec -> Text,
        secret -> Binary,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    secrets (tenant, name) {
        tenant -> Text,
        name -> Text,
        sealed -> Binary,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    plugins (tenant, name, version) {
        tenant -> Text,
        name -> Text,
        version -> BigInt,
        kind -> Text,
        digest -> Text,
        size_bytes -> BigInt,
        description -> Text,
        config_schema -> Nullable<Text>,
        state -> Text,
        error -> Nullable<Text>,
        pool -> Nullable<Text>,
        imports -> Text,
        exports -> Text,
        call_us -> Nullable<BigInt>,
        created_at -> BigInt,
        wasm -> Binary,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Binary,
        tenant -> Text,
        name -> Text,
        scopes -> Text,
        hash -> Binary,
        created_at -> BigInt,
    }
}

diesel::table! {
    facet_values (tenant, facet, value) {
        tenant -> Text,
        facet -> Text,
        value -> Text,
        label -> Nullable<Text>,
        updated_at -> BigInt,
    }
}

diesel::table! {
    settings (name) {
        name -> Text,
        value -> Text,
    }
}

diesel::table! {
    nodes (id) {
        id -> Text,
        epoch -> BigInt,
        lease_until -> BigInt,
    }
}

diesel::table! {
    events (tenant, id, source) {
        tenant -> Text,
        source -> Text,
        id -> Text,
        event_type -> Text,
        timestamp -> BigInt,
        subject -> Nullable<Text>,
        attributes -> Text,
        data -> Nullable<Text>,
        schema_ok -> Bool,
        accepted_at -> BigInt,
        deliveries -> BigInt,
        dropped_reason -> Nullable<Text>,
        hops -> Nullable<BigInt>,
        root -> Nullable<BigInt>,
        fanout -> Nullable<BigInt>,
    }
}

diesel::table! {
    counters (name) {
        name -> Text,
        value -> BigInt,
    }
}

diesel::table! {
    deliveries (id) {
        id -> Binary,
        tenant -> Text,
        event_source -> Text,
        event_id -> Text,
        webhook_id -> Binary,
        state -> Text,
        reason -> Nullable<Text>,
        stage -> Nullable<Text>,
        attempts -> BigInt,
        schedule_start -> BigInt,
        next_attempt_at -> Nullable<BigInt>,
        owner_node -> Nullable<Text>,
        owner_epoch -> Nullable<BigInt>,
        subject -> Nullable<Text>,
        created_at -> BigInt,
        updated_at -> BigInt,
        seq -> Nullable<BigInt>,
        order_key -> Nullable<Text>,
        order_attempts -> Nullable<BigInt>,
        dedupe_key -> Nullable<Text>,
        dedupe_since -> Nullable<BigInt>,
    }
}

diesel::table! {
    attempts (delivery_id, number) {
        delivery_id -> Binary,
        number -> BigInt,
        revision -> BigInt,
        started_at -> BigInt,
        took_ms -> BigInt,
        request_method -> Nullable<Text>,
        request_url -> Nullable<Text>,
        request_headers -> Nullable<Text>,
        response_status -> Nullable<BigInt>,
        response_headers -> Nullable<Text>,
        response_body -> Nullable<Text>,
        response_truncated -> Bool,
        error -> Nullable<Text>,
        unresolved -> Nullable<Text>,
        frozen -> Nullable<Text>,
        frozen_body -> Nullable<Binary>,
        response_packed -> Nullable<Binary>,
    }
}

diesel::table! {
    replays (id) {
        id -> Binary,
        tenant -> Text,
        webhook_id -> Binary,
        selection -> Text,
        state -> Text,
        pace_per_s -> BigInt,
        total -> BigInt,
        exact -> Bool,
        made -> BigInt,
        skipped -> BigInt,
        position -> Text,
        error -> Nullable<Text>,
        owner_node -> Nullable<Text>,
        owner_epoch -> Nullable<BigInt>,
        started_at -> BigInt,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    idempotency (tenant, idempotency_key) {
        tenant -> Text,
        idempotency_key -> Text,
        request_hash -> Binary,
        status -> BigInt,
        body -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    rejections (id) {
        id -> Binary,
        tenant -> Text,
        source_id -> Nullable<Binary>,
        rejected_at -> BigInt,
        code -> Text,
        reason -> Text,
        errors -> Text,
        method -> Text,
        path -> Text,
        query -> Text,
        headers -> Text,
        body -> Nullable<Binary>,
        body_bytes -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(webhooks, webhook_revisions);
diesel::allow_tables_to_appear_in_same_query!(attempts, deliveries, events);
