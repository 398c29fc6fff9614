//! Query plans: frequent statements use an index, however much is stored. The plans in `docs/storage.md` are
//! made here.

use std::path::Path;

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use parking_lot::Mutex;

use super::*;

/// Statements sent to the watched databases, in order.
static HEARD: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());
/// The watched databases, by the ends of their URLs.
static WATCHED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Records the statements of a connection.
#[derive(Default)]
struct Ear {
    url: Option<String>,
}

impl Instrumentation for Ear {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                let watched = WATCHED.lock();
                self.url = watched.iter().find(|name| url.ends_with(*name)).cloned();
            }
            InstrumentationEvent::StartQuery { query, .. } => {
                let Some(url) = &self.url else { return };
                let text = query.to_string();
                let statement = text.split(" -- binds").next().unwrap_or_default().to_owned();
                HEARD.lock().push((url.clone(), statement));
            }
            _ => {}
        }
    }
}

/// Distinct statements sent to the database since the last call, without inserts.
fn heard(name: &str) -> Vec<String> {
    let mut statements = Vec::new();
    HEARD.lock().retain(|(url, statement)| {
        let ours = url == name;
        let plans = ["SELECT", "UPDATE", "DELETE", "WITH"].iter().any(|w| statement.starts_with(w));
        if ours && plans && !statements.contains(statement) {
            statements.push(statement.clone());
        }
        !ours
    });
    statements
}

/// Makes all calls of an event's life, from intake to retention.
async fn ask_everything(store: &Store, mut said: impl AsyncFnMut(&'static str)) {
    let (t, w) = (tenant("t1"), webhook());
    let pending = || NewDelivery { next_attempt_at: Some(at(-1)), ..delivery(w, State::Pending) };
    for first in (0..2_000).step_by(100) {
        let earlier = |n: i64| NewEvent {
            accepted_at: at(n - 2_000),
            ..event_of(&format!("t{}", n % 4), &n.to_string())
        };
        let state = |n| if n % 20 == 2 { pending() } else { delivery(w, State::Missed) };
        let many = (first..first + 100).map(|n| earlier(n).to(state(n)));
        store.writer.accept(many.collect()).await.unwrap();
    }
    said("").await;
    store.writer.accept(vec![event_of("t1", "a").to(pending())]).await.unwrap();
    said("an event is accepted").await;
    store.queue.claim_due(NOW, &me(), 2, &mut ClaimLimits::default()).await.unwrap();
    // The first claim left some, so this one queries by webhook.
    let claimed = store.queue.claim_due(NOW, &me(), 2, &mut ClaimLimits::default()).await.unwrap();
    said("due deliveries are claimed").await;
    store.queue.next_due_after(NOW).await.unwrap();
    said("when something becomes due").await;
    store.writer.record(record(claimed[0].delivery.id, State::Delivered)).await.unwrap();
    said("an attempt is recorded").await;
    store.queue.take_over(&owner("me", 2), NOW).await.unwrap();
    said("deliveries of a node that is gone").await;
    store.queue.hold_webhook(w, "webhook_paused", NOW).await.unwrap();
    said("a webhook is paused").await;
    store.queue.release_webhook(w, NOW).await.unwrap();
    said("a webhook goes on").await;
    let all = DeliveryFilter::default();
    for (what, filter) in [
        ("deliveries of a tenant, newest first", all.clone()),
        ("deliveries of a webhook", DeliveryFilter { webhook_id: Some(w), ..all.clone() }),
        ("deliveries that failed", DeliveryFilter { state: Some(State::Failed), ..all.clone() }),
        ("deliveries of an event", DeliveryFilter { event_id: "a".parse().ok(), ..all.clone() }),
        ("deliveries of a subject", DeliveryFilter { subject: Some("s".to_owned()), ..all }),
    ] {
        store.history.list_deliveries(&t, &filter, 10, None).await.unwrap();
        said(what).await;
    }
    let size = PageSize { rows_max: 10, bytes_max: 1_000_000 };
    store.history.list_events(&t, &EventFilter::default(), false, size, None).await.unwrap();
    said("events of a tenant, newest first").await;
    store.history.attempts(claimed[0].delivery.id, size, None).await.unwrap();
    said("attempts of a delivery").await;
    let old = Old { tenant: t, types: OldTypes::AllBut(Vec::new()), before: at(1) };
    store.history.empty_old(&old, Millis(0), 10).await.unwrap();
    said("payloads grow old").await;
    store.history.delete_old(&old, Millis(0), 10).await.unwrap();
    said("events grow old").await;
}

#[derive(QueryableByName)]
struct SqliteStep {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[derive(QueryableByName)]
struct PostgresStep {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    step: String,
}

/// How SQLite finds the rows of a statement.
fn by_sqlite(conn: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let query = diesel::sql_query(format!("EXPLAIN QUERY PLAN {statement}"));
    let steps: Vec<SqliteStep> = diesel::RunQueryDsl::load(query, conn).unwrap();
    let finds = |step: &String| step.starts_with("SEARCH") || step.starts_with("SCAN");
    steps.into_iter().map(|step| step.detail).filter(finds).collect()
}

/// How PostgreSQL finds the rows of a statement, with a generic plan.
async fn by_postgres(conn: &mut AsyncPgConnection, statement: &str) -> Vec<String> {
    conn.batch_execute(&format!("PREPARE asked AS {statement}")).await.unwrap();
    let count = (1..).take_while(|n| statement.contains(&format!("${n}"))).count();
    let nulls = vec!["NULL"; count].join(", ");
    let arguments = if count == 0 { String::new() } else { format!("({nulls})") };
    let query = diesel::sql_query(format!("EXPLAIN (COSTS OFF) EXECUTE asked{arguments}"));
    let steps: Vec<PostgresStep> = query.load(conn).await.unwrap();
    conn.batch_execute("DEALLOCATE asked").await.unwrap();
    let finds = |step: &String| step.contains(" Scan ") && !step.contains("Function Scan");
    let steps = steps.into_iter().map(|step| step.step).filter(finds);
    steps.map(|step| step.trim_start_matches([' ', '-', '>']).to_owned()).collect()
}

/// Whether a step scans a whole table of stored events, deliveries or attempts.
fn reads_all(step: &str) -> bool {
    let stored = ["events", "deliveries", "attempts"].iter().any(|table| step.contains(table));
    let by_index = step.contains("USING") || !step.starts_with("SCAN");
    stored && (step.contains("Seq Scan") || !by_index)
}

/// A line of the table, with the steps of the statements' plans; empty if they search no rows.
fn line(what: &str, found: Vec<(String, Vec<String>)>) -> String {
    let mut steps = Vec::new();
    for (statement, steps_of_one) in found {
        for step in steps_of_one {
            assert!(!reads_all(&step), "{what}: {step}\n{statement}");
            let step = format!("`{step}`");
            if !steps.contains(&step) {
                steps.push(step);
            }
        }
    }
    if what.is_empty() || steps.is_empty() {
        return String::new();
    }
    format!("| {what} | {} |\n", steps.join("<br>"))
}

fn listen_to(name: &str) {
    WATCHED.lock().push(name.to_owned());
    set_default_instrumentation(|| Some(Box::new(Ear::default()))).unwrap();
}

#[tokio::test]
async fn sqlite_finds_what_is_asked_by_an_index() {
    let database = Database::sqlite();
    let path = database.url().trim_start_matches("sqlite:").to_owned();
    listen_to(&path);
    let store = database.store().await;
    let mut table = String::new();
    ask_everything(&store, async |what| {
        let mut conn = <SqliteConnection as Connection>::establish(&path).unwrap();
        let mut found = Vec::new();
        for statement in heard(&path) {
            let steps = by_sqlite(&mut conn, &statement);
            found.push((statement, steps));
        }
        // Discards the statements of this test's own connection, which is watched too.
        heard(&path);
        table += &line(what, found);
    })
    .await;
    store.close().await;
    database.remove().await;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/storage.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(&table), "docs/storage.md is to show this:\n{table}");
}

#[tokio::test]
async fn postgres_finds_what_is_asked_by_an_index() {
    let Some(database) = Database::postgres().await else { return };
    let url = database.url();
    listen_to(&url);
    let store = database.store().await;
    let mut table = String::new();
    let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
    conn.batch_execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
        .await
        .unwrap();
    ask_everything(&store, async |what| {
        if what.is_empty() {
            conn.batch_execute("ANALYZE").await.unwrap();
        }
        let mut found = Vec::new();
        for statement in heard(&url) {
            let steps = by_postgres(&mut conn, &statement).await;
            found.push((statement, steps));
        }
        heard(&url);
        table += &line(what, found);
    })
    .await;
    drop(conn);
    store.close().await;
    database.remove().await;
    // Plans differ between versions of PostgreSQL; the page shows those of one.
    println!("{table}");
}
