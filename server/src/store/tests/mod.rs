//! Tests of the store. Each runs on SQLite, and on PostgreSQL if `ANTAR_TEST_DATABASE_URL` names a server
//! on which databases may be created.

mod claims;
mod commits;
mod configuration;
mod full_queue;
mod lists;
mod many;
mod migrations;
mod plans;
mod records;
mod replays;
mod transitions;

use std::path::PathBuf;
use std::sync::Arc;

use antar_json::Document;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};

use super::*;
use crate::model::{
    Attempt, DeliveryId, Event, EventKey, Frozen, Millis, Response, SentRequest, State, TenantId,
    WebhookId,
};

/// A database that exists as long as a test.
pub(super) enum Database {
    Sqlite(PathBuf),
    Postgres { server: String, name: String },
}

impl Database {
    pub(super) fn sqlite() -> Database {
        let folder = std::env::temp_dir().join(format!("antar-store-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        Database::Sqlite(folder)
    }

    pub(super) async fn postgres() -> Option<Database> {
        let server = std::env::var("ANTAR_TEST_DATABASE_URL").ok()?;
        let name = format!("antar_{}", uuid::Uuid::new_v4().simple());
        let mut conn = AsyncPgConnection::establish(&server).await.unwrap();
        conn.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        Some(Database::Postgres { server, name })
    }

    pub(super) fn url(&self) -> String {
        match self {
            Database::Sqlite(folder) => format!("sqlite:{}", folder.join("antar.db").display()),
            Database::Postgres { server, name } => {
                let mut url = url::Url::parse(server).unwrap();
                url.set_path(name);
                url.into()
            }
        }
    }

    pub(super) async fn store(&self) -> Store {
        let settings = Settings { url: self.url(), ..Settings::default() };
        let store = Store::connect(&settings).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    pub(super) async fn remove(self) {
        match self {
            Database::Sqlite(folder) => std::fs::remove_dir_all(folder).unwrap(),
            Database::Postgres { server, name } => {
                let mut conn = AsyncPgConnection::establish(&server).await.unwrap();
                conn.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
            }
        }
    }
}

/// Runs `test` on an empty store of each database.
pub(super) async fn on_each_database(test: impl AsyncFn(Store)) {
    let mut databases = vec![Database::sqlite()];
    databases.extend(Database::postgres().await);
    for database in databases {
        let store = database.store().await;
        test(store.clone()).await;
        store.close().await;
        database.remove().await;
    }
}

pub(super) const NOW: Millis = Millis(1_800_000_000_000);
/// Earlier than any other time.
pub(super) const ALWAYS: Millis = Millis(i64::MIN);

pub(super) fn at(ms: i64) -> Millis {
    NOW.plus_ms(ms)
}

pub(super) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

pub(super) fn owner(node: &str, epoch: i64) -> Owner {
    Owner { node: node.to_owned(), epoch }
}

pub(super) fn me() -> Owner {
    owner("me", 1)
}

pub(super) fn webhook() -> WebhookId {
    WebhookId::new(NOW)
}

/// An event of tenant `t`; `key` is its id, or `source/id`.
pub(super) fn event(key: &str) -> NewEvent {
    event_of("t", key)
}

pub(super) fn event_of(tenant_name: &str, key: &str) -> NewEvent {
    event_made_of(tenant_name, key, r#"{"n": 1.50, "who": "\u00e4"}"#)
}

pub(super) fn event_with(key: &str, data: &str) -> NewEvent {
    event_made_of("t", key, data)
}

fn event_made_of(tenant_name: &str, key: &str, data: &str) -> NewEvent {
    let (source, id) = key.split_once('/').unwrap_or(("", key));
    let key = EventKey {
        tenant: tenant(tenant_name),
        source: source.to_owned(),
        id: id.parse().unwrap(),
    };
    let data: Document = data.parse().unwrap();
    let attributes = vec![
        ("subject".to_owned(), "contact-1".to_owned()),
        ("platform".to_owned(), "whatsapp".to_owned()),
    ];
    let event_type = "conversation.created".parse().unwrap();
    NewEvent {
        event: Arc::new(Event::new(key, event_type, NOW, attributes, data.root())),
        deliveries: Vec::new(),
        dropped_reason: None,
        accepted_at: NOW,
        owner: me(),
    }
}

pub(super) fn delivery(webhook_id: WebhookId, state: State) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::new(NOW),
        webhook_id,
        state,
        reason: None,
        next_attempt_at: Some(NOW),
        keys: None,
    }
}

impl NewEvent {
    pub(super) fn to(mut self, delivery: NewDelivery) -> NewEvent {
        self.deliveries.push(delivery);
        self
    }
}

pub(super) fn frozen(body: &str) -> Frozen {
    Frozen {
        revision: 1,
        method: crate::model::Method::Post,
        url: vec![antar_template::Piece::Text("https://crm.example/".to_owned())],
        headers: Vec::new(),
        body: Some(vec![antar_template::Piece::Text(body.to_owned())]),
        unresolved: Vec::new(),
    }
}

pub(super) fn attempt(number: u32, status: u16) -> Attempt {
    let headers = |name: &str| [(name.to_owned(), "x".to_owned())].into_iter().collect();
    Attempt {
        number,
        revision: 1,
        started_at: NOW,
        took_ms: 12,
        request: Some(SentRequest {
            method: "POST".to_owned(),
            url: "https://crm.example/".to_owned(),
            headers: headers("x-sent"),
            body: None,
        }),
        response: Some(Response {
            status,
            headers: headers("x-back"),
            body: "ok".to_owned(),
            truncated: false,
        }),
        error: (status >= 300).then(|| format!("status {status}")),
        unresolved: Vec::new(),
    }
}

/// The record of an attempt by `me` that ended in `to`.
pub(super) fn record(delivery_id: DeliveryId, to: State) -> Record {
    let status = if to == State::Delivered { 200 } else { 500 };
    Record {
        delivery_id,
        owner: me(),
        attempt: Some(attempt(1, status)),
        frozen: None,
        to,
        reason: None,
        stage: None,
        next_attempt_at: None,
        ordered: true,
        can_wait: false,
        now: NOW,
    }
}

/// Stores an event with one delivery in `state` and returns the delivery's id.
pub(super) async fn standing_in(store: &Store, state: State, webhook_id: WebhookId) -> DeliveryId {
    let first = match state {
        State::Pending | State::Missed => state,
        _ => State::InFlight,
    };
    let new = delivery(webhook_id, first);
    let id = new.id;
    let key = uuid::Uuid::new_v4().to_string();
    store.writer.accept(vec![event(&key).to(new)]).await.unwrap();
    if first != state && state != State::InFlight {
        store.writer.record(record(id, state)).await.unwrap();
    }
    id
}

pub(super) async fn state_of(store: &Store, id: DeliveryId) -> State {
    store.history.get_delivery(&tenant("t"), id).await.unwrap().delivery.state
}

/// A page that holds everything.
pub(super) const WHOLE: PageSize = PageSize { rows_max: 1_000, bytes_max: usize::MAX };

pub(super) async fn attempts_of(store: &Store, id: DeliveryId) -> Vec<Attempt> {
    store.history.attempts(id, WHOLE, None).await.unwrap().data
}
