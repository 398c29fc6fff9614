//! The lines of `bench delivery`.

use std::time::Instant;

use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::DeliveryArguments;
use crate::load::{full, steady};
use crate::receiver::Receiver;
use crate::server::{Database, Server};
use crate::table::Line;

/// How a line's events are posted.
#[derive(Clone, Copy)]
enum Load {
    Full,
    Steady,
}

/// What stands behind the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Floor,
    /// The floor with tables of SQLite in place of its file.
    FloorTables,
    Sqlite,
    Postgres,
}

struct Scenario {
    name: &'static str,
    behind: Behind,
    load: Load,
    webhooks: usize,
    /// Webhooks of the tenant that want other events.
    others: usize,
    /// As many events as was asked for are stored and delivered before it begins.
    stored: bool,
    /// Webhooks whose receivers take a request and never answer.
    hanging: usize,
    /// Deliveries that wait for one of those, all due.
    behind_one: usize,
    plugin: bool,
    template: bool,
}

const PLAIN: Scenario = Scenario {
    name: "",
    behind: Behind::Sqlite,
    load: Load::Full,
    webhooks: 1,
    others: 0,
    stored: false,
    hanging: 0,
    behind_one: 0,
    plugin: false,
    template: false,
};

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "floor", behind: Behind::Floor, ..PLAIN },
    Scenario { name: "floor, sqlite", behind: Behind::FloorTables, ..PLAIN },
    Scenario { name: "sqlite, 1 webhook", ..PLAIN },
    Scenario { name: "sqlite, 10 webhooks", webhooks: 10, ..PLAIN },
    Scenario { name: "sqlite, template", template: true, ..PLAIN },
    Scenario { name: "sqlite, filter plugin", plugin: true, ..PLAIN },
    Scenario { name: "sqlite, 10,000 other webhooks", others: 10_000, ..PLAIN },
    // With its own as many as a tenant may have.
    Scenario { name: "sqlite, 99,999 other webhooks", others: 99_999, ..PLAIN },
    Scenario { name: "sqlite, many events stored", stored: true, ..PLAIN },
    Scenario { name: "postgres, 1 webhook", behind: Behind::Postgres, ..PLAIN },
    Scenario { name: "postgres, 10 webhooks", behind: Behind::Postgres, webhooks: 10, ..PLAIN },
    Scenario { name: "steady: floor", behind: Behind::Floor, load: Load::Steady, ..PLAIN },
    Scenario { name: "steady: sqlite", load: Load::Steady, ..PLAIN },
    Scenario {
        name: "steady: sqlite, 10,000 receivers hang",
        hanging: 10_000,
        load: Load::Steady,
        ..PLAIN
    },
    Scenario {
        name: "steady: sqlite, 200,000 behind one that hangs",
        hanging: 1,
        behind_one: 200_000,
        load: Load::Steady,
        ..PLAIN
    },
    Scenario { name: "steady: postgres", behind: Behind::Postgres, load: Load::Steady, ..PLAIN },
    Scenario {
        name: "steady: postgres, 200,000 behind one",
        behind: Behind::Postgres,
        hanging: 1,
        behind_one: 200_000,
        load: Load::Steady,
        ..PLAIN
    },
];

pub(crate) fn run(arguments: &DeliveryArguments) -> anyhow::Result<()> {
    // One thread: the server shall have the other cores.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(lines(arguments))
}

async fn lines(arguments: &DeliveryArguments) -> anyhow::Result<()> {
    let start = Instant::now();
    let receiver = Receiver::start(start).await?;
    println!("{}", Line::heading());
    let mut floor: Option<Line> = None;
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.name.contains(&arguments.only)) {
        if scenario.behind == Behind::Postgres && arguments.database_url.is_none()
            || scenario.plugin && arguments.plugin.is_none()
        {
            println!("{:<46} left out", scenario.name);
            continue;
        }
        let line = measure(arguments, scenario, &receiver, start).await?;
        println!("{line}{}", against(floor.as_ref(), &line));
        if scenario.behind == Behind::Floor {
            floor = Some(line);
        }
    }
    Ok(())
}

/// The line beside the floor's.
fn against(floor: Option<&Line>, line: &Line) -> String {
    floor.map_or(String::new(), |floor| {
        let cpu = line.cpu_us() / floor.cpu_us();
        format!("   CPU {cpu:.2} of the floor, p99 {:.2}", line.p99_ms() / floor.p99_ms())
    })
}

async fn measure(
    arguments: &DeliveryArguments,
    scenario: &Scenario,
    receiver: &Receiver,
    start: Instant,
) -> anyhow::Result<Line> {
    let database = match (scenario.behind, &arguments.database_url) {
        (Behind::Postgres, Some(url)) => Some(Database::create(url)?),
        _ => None,
    };
    let server = match scenario.behind {
        Behind::Floor => Server::floor(&receiver.address, false).await?,
        Behind::FloorTables => Server::floor(&receiver.address, true).await?,
        _ => Server::antar(&arguments.antar, database.as_ref()).await?,
    };
    if !matches!(scenario.behind, Behind::Floor | Behind::FloorTables) {
        set_up(arguments, scenario, &server, receiver).await?;
    }
    let target = server.target();
    if scenario.hanging > 0 {
        server.call("events", &json!({"type": "hanging.all", "data": {}})).await?;
        receiver.wait_for_hanging(scenario.hanging).await?;
    }
    pile_up(scenario.behind_one, &server).await?;
    // Code, connections and caches get warm.
    let stored = if scenario.stored { arguments.stored } else { 0 };
    let warm_up = (arguments.events / 10).max(200).max(stored);
    full(&target, start, warm_up, arguments.connections).await?;
    receiver.wait(warm_up * scenario.webhooks).await?;
    settle().await;
    receiver.take();
    let (server_before, database_before) = server.cpu_us()?;
    let began = Instant::now();
    let events = match scenario.load {
        Load::Full => {
            full(&target, start, arguments.events, arguments.connections).await?;
            arguments.events
        }
        Load::Steady => {
            steady(&target, start, arguments.rate_per_s, arguments.rate_s).await?;
            (arguments.rate_per_s * arguments.rate_s) as usize
        }
    };
    let deliveries = events * scenario.webhooks;
    receiver.wait(deliveries).await?;
    let took_s = began.elapsed().as_secs_f64();
    // The last outcomes are written after the last request.
    settle().await;
    let (server_after, database_after) = server.cpu_us()?;
    if arguments.linger_s > 0 {
        println!("process {} stays up for {} s", server.pid(), arguments.linger_s);
        tokio::time::sleep(std::time::Duration::from_secs(arguments.linger_s)).await;
    }
    Ok(Line {
        name: scenario.name.to_owned(),
        deliveries,
        took_s,
        server_us: server_after - server_before,
        database_us: database_after.zip(database_before).map(|(after, before)| after - before),
        took_ns: receiver.take(),
        rss_max_kib: server.rss_max_kib()?,
    })
}

async fn settle() {
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
}

async fn set_up(
    arguments: &DeliveryArguments,
    scenario: &Scenario,
    server: &Server,
    receiver: &Receiver,
) -> anyhow::Result<()> {
    let mut more = json!({"rule": {"data": {"conversation": {"labels": ["vip"]}}}});
    if scenario.template {
        more["body"] = json!(
            r#"{"sentNs":{{data.sentNs}},"full_name":"{{data.conversation.userData.name}}","email":"{{data.conversation.userData.email}}","phone":"{{data.conversation.userData.phone}}","note":"{{data.conversation.initialMessage}}","owner":"{{data.conversation.assignee.name}}","tags":{{data.conversation.labels}},"source":{{data.conversation.utm}}}"#
        );
    }
    if let (true, Some(plugin)) = (scenario.plugin, &arguments.plugin) {
        server.upload("by-label", plugin).await?;
        more["plugins"] = json!([{"plugin": "by-label", "config": {"any": ["vip"]}}]);
    }
    others(scenario.others, server, receiver).await?;
    for number in 0..scenario.hanging {
        let hangs = json!({"event_types": ["hanging.*"], "timeout_ms": 60_000});
        server.webhook(&format!("hanging-{number}"), &url(receiver, "hang"), &hangs).await?;
    }
    for number in 0..scenario.webhooks {
        let name = format!("w{number}");
        server.webhook(&name, &url(receiver, &name), &more).await?;
    }
    Ok(())
}

/// Makes webhooks that want other events, many at a time, so that they share commits.
async fn others(count: usize, server: &Server, receiver: &Receiver) -> anyhow::Result<()> {
    const AT_ONCE: usize = 32;
    let url = url(receiver, "other");
    let make = |number: usize| {
        let rule = json!({"rule": {"data": {"conversation": {"inbox": {"id": [format!("inb_o{number}")]}}}}});
        let url = &url;
        async move { server.webhook(&format!("other-{number}"), url, &rule).await }
    };
    let mut making = stream::iter((0..count).map(make)).buffer_unordered(AT_ONCE);
    while let Some(made) = making.next().await {
        made?;
    }
    Ok(())
}

/// Posts so many events that only those webhooks want whose receivers hang.
async fn pile_up(count: usize, server: &Server) -> anyhow::Result<()> {
    const AT_ONCE: usize = 100;
    let many = vec![json!({"type": "hanging.all", "data": {}}); AT_ONCE];
    for _ in 0..count.div_ceil(AT_ONCE) {
        server.call("events", &json!(many)).await?;
    }
    Ok(())
}

fn url(receiver: &Receiver, path: &str) -> String {
    format!("http://{}/{path}", receiver.address)
}
