//! API calls that tests make often, for one tenant with one key.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Answer, Call, percent};
use crate::connection::Connection;
use crate::eventually;

/// How long the end of a test waits for attempts in flight.
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// Access to a tenant with a key. Calls panic with the response if it is not the expected one;
/// [`Api::call`] accepts any response.
#[derive(Clone)]
pub struct Api {
    base: String,
    key: Option<String>,
    tenant: String,
    seen: Arc<Mutex<Seen>>,
}

/// What the test has looked at, across all tenants of a server.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) tenants: HashSet<String>,
    pub(crate) deliveries: HashSet<String>,
}

/// A created webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub id: String,
    pub secret: String,
    /// The whole response.
    pub json: Value,
}

/// A row of the list of deliveries.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: String,
    pub event_id: String,
    pub webhook_id: String,
    pub state: String,
    pub reason: Option<String>,
    pub attempts: u64,
    /// RFC 3339.
    pub next_attempt_at: Option<String>,
}

impl Api {
    pub(crate) fn new(base: &str, key: &str, seen: &Arc<Mutex<Seen>>) -> Api {
        Api {
            base: base.to_owned(),
            key: Some(key.to_owned()),
            tenant: String::new(),
            seen: Arc::clone(seen),
        }
        .tenant("default")
    }

    /// The same key for another tenant.
    #[must_use]
    pub fn tenant(&self, tenant: &str) -> Api {
        self.seen.lock().unwrap().tenants.insert(tenant.to_owned());
        Api { tenant: tenant.to_owned(), ..self.clone() }
    }

    /// The same tenant with another key; `None` for no key at all.
    #[must_use]
    pub fn with_key(&self, key: Option<&str>) -> Api {
        Api { key: key.map(str::to_owned), ..self.clone() }
    }

    /// The key that calls are made with.
    #[must_use]
    pub fn key(&self) -> &str {
        self.key.as_deref().expect("these calls have a key")
    }

    /// A call below `/v1/tenants/{tenant}/`, or anywhere when `path` begins with `/`.
    pub fn call(&self, method: &str, path: &str) -> Call {
        let url = match path.strip_prefix('/') {
            Some(_) => format!("{}{path}", self.base),
            None => format!("{}/v1/tenants/{}/{path}", self.base, percent(&self.tenant)),
        };
        let call = Call::new(method, &url);
        match &self.key {
            Some(key) => call.key(key),
            None => call,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    /// Sends a GET whose answer the test reads as it likes.
    pub async fn open(&self, path: &str) -> Connection {
        let path = format!("/v1/tenants/{}/{path}", percent(&self.tenant));
        Connection::get(&self.base, &path, self.key.as_deref().unwrap_or_default()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path).json(body).send().await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path).json(body).send().await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path).json(body).send().await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path).send().await
    }

    /// Creates a key for this tenant with these scopes, such as `["publish"]`.
    pub async fn create_key(&self, scopes: &[&str]) -> String {
        let body = json!({"name": scopes.join("+"), "tenant": self.tenant, "scopes": scopes});
        let answer = self.post("/v1/keys", &body).await.expect(201).json();
        answer["key"].as_str().expect("a new key is shown once").to_owned()
    }

    /// Posts an event, which must be accepted and new, and returns its id.
    pub async fn send(&self, event: &Value) -> String {
        let answer = self.post("events", event).await.expect(202).json();
        assert_eq!(answer["duplicate"], false, "{answer}");
        answer["id"].as_str().expect("an accepted event has an id").to_owned()
    }

    pub async fn create_webhook(&self, webhook: &Value) -> Webhook {
        let json = self.post("webhooks", webhook).await.expect(201).json();
        let text = |name: &str| {
            json[name].as_str().unwrap_or_else(|| panic!("no {name}: {json}")).to_owned()
        };
        Webhook { id: text("id"), secret: text("secret"), json: json.clone() }
    }

    pub async fn enable(&self, webhook: &Webhook) {
        self.post(&format!("webhooks/{}/enable", webhook.id), &json!({})).await.expect(200);
    }

    pub async fn disable(&self, webhook: &Webhook) {
        self.post(&format!("webhooks/{}/disable", webhook.id), &json!({})).await.expect(200);
    }

    /// All deliveries for a query such as `event_id=…&state=failed`, from all pages.
    pub async fn deliveries(&self, query: &str) -> Vec<Delivery> {
        let rows = self.list(&format!("deliveries?{query}")).await;
        let rows: Vec<_> = rows.iter().map(Delivery::read).collect();
        self.seen.lock().unwrap().deliveries.extend(rows.iter().map(|row| row.id.clone()));
        rows
    }

    /// All rows of a list, page by page.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let page =
                self.get(&format!("{path}{joint}limit=100{cursor}")).await.expect(200).json();
            rows.extend(page["data"].as_array().expect("a list has `data`").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={}", percent(next)),
                None => return rows,
            }
        }
    }

    /// Waits for a delivery for `query` that satisfies `wanted`.
    pub async fn delivery_that(
        &self,
        what: &str,
        query: &str,
        wanted: impl Fn(&Delivery) -> bool,
    ) -> Delivery {
        eventually(&format!("a delivery that {what} for {query}"), async || {
            self.deliveries(query).await.into_iter().find(|delivery| wanted(delivery))
        })
        .await
    }

    /// Waits for a delivery for `query` in this state.
    pub async fn delivery_in(&self, state: &str, query: &str) -> Delivery {
        self.delivery_that(&format!("is {state}"), query, |delivery| delivery.state == state).await
    }

    /// Waits for a limited time until nothing is in flight.
    pub(crate) async fn settle(&self) {
        let quiet = async || {
            let answer = self.get("deliveries?state=in_flight&limit=1").await;
            let busy = answer.status == 200 && answer.json()["data"][0].is_object();
            (!busy).then_some(())
        };
        // The caller reports what is still in flight.
        let _ = tokio::time::timeout(SETTLE_MAX, eventually("nothing is in flight", quiet)).await;
    }

    pub async fn attempts(&self, delivery: &Delivery) -> Vec<Value> {
        self.list(&format!("deliveries/{}/attempts", delivery.id)).await
    }

    /// The row of the explanation for a webhook.
    pub async fn explain(&self, event_id: &str, webhook: &Webhook) -> Value {
        let rows = self.list(&format!("events/{event_id}/explain")).await;
        let found = rows.iter().find(|row| row["webhook_id"] == webhook.id.as_str());
        found.unwrap_or_else(|| panic!("explain has no row for {}: {rows:?}", webhook.id)).clone()
    }
}

impl Delivery {
    fn read(row: &Value) -> Delivery {
        let text = |name: &str| row[name].as_str().map(str::to_owned);
        let must = |name: &str| text(name).unwrap_or_else(|| panic!("no {name}: {row}"));
        Delivery {
            id: must("id"),
            event_id: must("event_id"),
            webhook_id: must("webhook_id"),
            state: must("state"),
            reason: text("reason"),
            attempts: row["attempts"]
                .as_u64()
                .unwrap_or_else(|| panic!("attempts is no number: {row}")),
            next_attempt_at: text("next_attempt_at"),
        }
    }
}
