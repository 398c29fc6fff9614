//! Host names of receivers, resolved by a name server that answers as the test wants.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use antar::config::Config;
use antar_harness::{Api, Database, NameServer, Receiver, Resolved, eventually, on_both_databases};
use serde_json::{Value, json};
use tempfile::TempDir;

fn event() -> Value {
    json!({"type": "a.b", "data": {}})
}

fn port(receiver: &Receiver) -> String {
    receiver.url("").rsplit(':').next().unwrap().to_owned()
}

/// Settings that ask `names` only, by a `resolv.conf` and a hosts file of the test.
struct Names {
    folder: TempDir,
    names: NameServer,
}

impl Names {
    async fn start(plan: impl Fn(&str, bool) -> Resolved + Send + Sync + 'static) -> Names {
        let names =
            Names { folder: tempfile::tempdir().unwrap(), names: NameServer::start(plan).await };
        // No search domain of the machine's own.
        std::fs::write(names.resolv_conf(), "search .\n").unwrap();
        std::fs::write(names.hosts_file(), "").unwrap();
        names
    }

    fn resolv_conf(&self) -> PathBuf {
        self.folder.path().join("resolv.conf")
    }

    fn hosts_file(&self) -> PathBuf {
        self.folder.path().join("hosts")
    }

    fn set(&self, config: &mut Config) {
        config.server.drain_ms = 100;
        config.delivery.name_servers = vec![self.names.address];
        config.delivery.resolv_conf = self.resolv_conf();
        config.delivery.hosts_file = self.hosts_file();
    }
}

async fn create(api: &Api, name: &str, url: &str, more: Value) {
    let mut webhook = json!({"name": name, "url": url, "event_types": ["*"]});
    webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    api.create_webhook(&webhook).await;
}

/// The error of the only attempt of the event's delivery.
async fn error_of(api: &Api, event_id: &str) -> String {
    let delivery =
        api.delivery_that("was tried", &format!("event_id={event_id}"), |d| d.attempts == 1).await;
    api.attempts(&delivery).await[0]["error"].as_str().unwrap().to_owned()
}

/// Writes a file in place of another, as editors and DHCP clients do.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

async fn local_names_work(database: Database, resolver: &str) {
    let settings = |config: &mut Config| {
        config.delivery.resolver = resolver.to_owned();
        config.delivery.resolv_conf = PathBuf::from("/nowhere/resolv.conf");
        config.delivery.hosts_file = PathBuf::from("/nowhere/hosts");
    };
    let server = database.server().config(settings).start().await;
    let receiver = Receiver::start().await;
    create(&server.api, "w", &format!("http://localhost:{}/w", port(&receiver)), json!({})).await;
    let event_id = server.api.send(&event()).await;
    receiver.wait(1).await;
    server.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
}

on_both_databases! {
    async fn look_ups_that_hang_hold_no_other_tenant(database: Database) {
        const HANGING: usize = 60;
        let names = Names::start(|name, _| match name.starts_with("hang") {
            true => Resolved::Silence,
            false => Resolved::here(),
        })
        .await;
        let settings = |config: &mut Config| {
            names.set(config);
            config.delivery.lookups_max = 6;
            config.delivery.lookups_per_tenant_max = 4;
            config.delivery.lookup_timeout_ms = 60_000;
            config.delivery.slow_after_ms = 50;
        };
        let server = database.server().config(settings).ignore_unseen_deliveries().start().await;
        let hostile = server.create_tenant("hostile").await;
        let urls: Vec<_> = (0..HANGING).map(|n| format!("http://hang{n}.example/w")).collect();
        let slow = json!({"timeout_ms": 60_000});
        futures_util::future::join_all(
            urls.iter().map(|url| create(&hostile, url, url, slow.clone())),
        )
        .await;
        hostile.send(&event()).await;
        let asked = || names.names.asked().into_iter().collect::<BTreeSet<_>>();
        eventually("the hostile tenant has used up its look-ups", async || {
            (asked().len() >= 4).then_some(())
        })
        .await;
        // Names that nobody has asked for yet, and each needs a look-up of its own.
        let receiver = Receiver::start().await;
        for n in 1..=20 {
            let url = format!("http://good{n}.example:{}/w", port(&receiver));
            create(&server.api, &url, &url, json!({})).await;
        }
        let event_id = server.api.send(&event()).await;
        assert_eq!(receiver.wait(20).await.len(), 20);
        eventually("all are delivered", async || {
            let rows = server.api.deliveries(&format!("event_id={event_id}&state=delivered")).await;
            (rows.len() == 20).then_some(())
        })
        .await;
        let hanging: Vec<_> = asked().into_iter().filter(|name| name.starts_with("hang")).collect();
        assert_eq!(hanging.len(), 4, "its other look-ups wait for these: {hanging:?}");
    }

    async fn a_name_that_does_not_exist_is_asked_for_once(database: Database) {
        let names = Names::start(|name, _| match name {
            "failed.example" => Resolved::Failed,
            _ => Resolved::Nothing,
        })
        .await;
        let settings = |config: &mut Config| {
            names.set(config);
            config.delivery.dns_negative_cache_ms = 3_600_000;
        };
        let server = database.server().config(settings).ignore_unseen_deliveries().start().await;
        let once = json!({"retry": {"attempts_max": 1}});
        create(&server.api, "w", "http://nobody.example/w", once.clone()).await;
        for _ in 0..5 {
            let event_id = server.api.send(&event()).await;
            let error = error_of(&server.api, &event_id).await;
            assert_eq!(error, "no connection: nobody.example can't be resolved: the name does not exist");
        }
        assert_eq!(names.names.asked(), ["nobody.example"]);
        let failing = server.create_tenant("failing").await;
        create(&failing, "w", "http://failed.example/w", once).await;
        for _ in 0..3 {
            let event_id = failing.send(&event()).await;
            let error = error_of(&failing, &event_id).await;
            assert!(error.contains("failed.example can't be resolved: "), "{error}");
        }
        let failed = names.names.asked().iter().filter(|name| *name == "failed.example").count();
        assert!((1..=3).contains(&failed), "asked {failed} times, by the attempts of resolv.conf");
    }

    async fn late_answers_aliases_and_families_that_are_dropped(database: Database) {
        let names = Names::start(|name, six| match name {
            "late.example" => Resolved::Late(Duration::from_millis(700), Box::new(Resolved::here())),
            "alias.example" => Resolved::Alias("real.example".to_owned(), vec![IpAddr::from([127, 0, 0, 1])]),
            // Some name servers never answer a question for AAAA.
            "half.example" if six => Resolved::Silence,
            // Nothing listens there.
            "first.example" => Resolved::To([[127, 0, 0, 9], [127, 0, 0, 1]].map(IpAddr::from).into()),
            _ => Resolved::here(),
        })
        .await;
        let server = database.server().config(|config| names.set(config)).start().await;
        let receiver = Receiver::start().await;
        for host in ["late", "alias", "half", "first"] {
            let url = format!("http://{host}.example:{}/{host}", port(&receiver));
            create(&server.api, host, &url, json!({})).await;
        }
        server.api.send(&event()).await;
        let mut paths: Vec<_> = receiver.wait(4).await.iter().map(|r| r.path().to_owned()).collect();
        paths.sort();
        assert_eq!(paths, ["/alias", "/first", "/half", "/late"]);
        eventually("all are delivered", async || {
            (server.api.deliveries("state=delivered").await.len() == 4).then_some(())
        })
        .await;
    }

    async fn files_that_change_are_read_again(database: Database) {
        let names = Names::start(|name, _| match name {
            "hook.one.example" | "hook.two.example" => Resolved::here(),
            _ => Resolved::Nothing,
        })
        .await;
        std::fs::write(names.resolv_conf(), "search one.example\n").unwrap();
        let settings = |config: &mut Config| {
            names.set(config);
            // Each request needs a connection, and thus an address.
            config.delivery.idle_ms = 0;
        };
        let server = database.server().config(settings).ignore_unseen_deliveries().start().await;
        let receiver = Receiver::start().await.ignore_rest();
        create(&server.api, "w", &format!("http://hook:{}/w", port(&receiver)), json!({})).await;
        server.api.send(&event()).await;
        receiver.wait_at("/w", 1).await;
        assert!(names.names.asked().contains(&"hook.one.example".to_owned()));
        replace(&names.resolv_conf(), "search two.example\n");
        eventually("the new search domain is used", async || {
            server.api.send(&event()).await;
            names.names.asked().contains(&"hook.two.example".to_owned()).then_some(())
        })
        .await;
        let hosts = json!({"retry": {"attempts_max": 1}});
        create(&server.api, "h", &format!("http://listed.test:{}/listed", port(&receiver)), hosts).await;
        server.api.send(&event()).await;
        replace(&names.hosts_file(), "127.0.0.1 other.test listed.test\n");
        eventually("the name of the hosts file is used", async || {
            server.api.send(&event()).await;
            (!receiver.at("/listed").is_empty()).then_some(())
        })
        .await;
    }

    async fn without_files_local_names_work(database: Database) {
        local_names_work(database, "async").await;
    }

    async fn the_resolver_of_the_system_is_there(database: Database) {
        local_names_work(database, "system").await;
    }

    async fn names_that_lead_inside_are_refused_each_time(database: Database) {
        let names = Names::start(|_, _| Resolved::here()).await;
        let settings = |config: &mut Config| names.set(config);
        let server =
            database.server().config(settings).without_dev().ignore_unseen_deliveries().start().await;
        let receiver = Receiver::start().await;
        let once = json!({"retry": {"attempts_max": 1}});
        create(&server.api, "w", &format!("https://inside.example:{}/w", port(&receiver)), once).await;
        for _ in 0..3 {
            let event_id = server.api.send(&event()).await;
            let error = error_of(&server.api, &event_id).await;
            assert!(error.contains("127.0.0.1 is not a public address"), "{error}");
        }
        assert_eq!(names.names.asked(), ["inside.example"], "what is remembered is checked as well");
        assert_eq!(receiver.connections(), 0);
    }
}
