//! Configuration: round trips, unique names, and complete deletion of a tenant.

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};

use super::*;
use crate::model::{ApiKey, PluginKind, PluginMeta, PluginPool, PluginState, Scope, SourceId};
use crate::store::db::conn::run;

pub(super) fn webhook_row(tenant_name: &str, name: &str) -> WebhookRow {
    WebhookRow {
        id: webhook(),
        tenant: tenant(tenant_name),
        name: name.to_owned(),
        spec: "{}".to_owned(),
        secret: vec![1, 2, 0, 255],
        secret_before: None,
        secret_before_until: None,
        enabled: true,
        paused: false,
        disabled_reason: None,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn plugin_row(tenant_name: Option<&str>) -> PluginRow {
    PluginRow {
        tenant: tenant_name.map(tenant),
        meta: PluginMeta {
            name: "by-label".parse().unwrap(),
            version: 0,
            kind: PluginKind::Filter,
            digest: "d".to_owned(),
            size_bytes: 3,
            description: String::new(),
            config_schema: Some(r#"{"type":"object"}"#.parse().unwrap()),
            state: PluginState::Ready,
            error: None,
            pool: Some(PluginPool::Small),
            imports: vec!["a".to_owned()],
            exports: Vec::new(),
            call_us: Some(7),
            created_at: NOW,
        },
    }
}

fn key_row(tenant_name: Option<&str>, hash: u8) -> ApiKey {
    ApiKey {
        id: uuid::Uuid::new_v4(),
        name: "k".to_owned(),
        tenant: tenant_name.map(tenant),
        scopes: vec![Scope::Publish, Scope::Read],
        hash: [hash; 32],
        created_at: NOW,
    }
}

fn facet_row(tenant_name: &str, value: &str, label: Option<&str>) -> FacetValueRow {
    FacetValueRow {
        tenant: tenant(tenant_name),
        facet: "inbox".to_owned(),
        value: value.to_owned(),
        label: label.map(ToOwned::to_owned),
        updated_at: NOW,
    }
}

/// Creates one of everything a tenant can have.
async fn furnish(store: &Store, name: &str, hash: u8) -> WebhookRow {
    let (created_at, updated_at) = (NOW, NOW);
    let id = tenant(name);
    let spec = "{}".to_owned();
    let row = TenantRow { id: id.clone(), spec: spec.clone(), created_at, updated_at };
    assert!(store.configuration.put_tenant(row).await.unwrap());
    let webhook = webhook_row(name, "crm");
    store.configuration.insert_webhook(webhook.clone()).await.unwrap();
    let source = SourceRow {
        id: SourceId::new(NOW),
        tenant: id.clone(),
        name: "shop".to_owned(),
        spec: spec.clone(),
        secret: vec![9],
        created_at,
        updated_at,
    };
    store.configuration.insert_source(source).await.unwrap();
    let secret = SecretRow {
        tenant: id.clone(),
        name: "crm_key".parse().unwrap(),
        sealed: vec![7],
        created_at,
        updated_at,
    };
    store.configuration.put_secret(secret).await.unwrap();
    store.configuration.insert_plugin(plugin_row(Some(name)), vec![0, 97, 115]).await.unwrap();
    let name_of_type = "a.b".parse().unwrap();
    let event_type =
        EventTypeRow { tenant: Some(id.clone()), name: name_of_type, spec, created_at, updated_at };
    store.configuration.put_event_type(event_type).await.unwrap();
    store.configuration.insert_key(key_row(Some(name), hash)).await.unwrap();
    store
        .configuration
        .put_facet_values(&id, "inbox", vec![facet_row(name, "Sales", None)])
        .await
        .unwrap();
    let new = delivery(webhook.id, State::InFlight);
    let delivery_id = new.id;
    let once = Once {
        tenant: id,
        key: "k".to_owned(),
        request_hash: vec![1],
        now: NOW,
        answer: Box::new(|_| (202, String::new())),
    };
    store.writer.accept_once(vec![event_of(name, "e").to(new)], once).await.unwrap();
    store.writer.record(record(delivery_id, State::Delivered)).await.unwrap();
    webhook
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Row counts of the tables whose rows belong to tenants.
async fn rows(store: &Store) -> Vec<(&'static str, i64)> {
    use diesel_async::RunQueryDsl as _;

    let mut counts = Vec::new();
    let mut lease = store.db.read().await.unwrap();
    for table in [
        "tenants",
        "webhooks",
        "webhook_revisions",
        "sources",
        "secrets",
        "plugins",
        "event_types",
        "api_keys",
        "facet_values",
        "events",
        "deliveries",
        "attempts",
        "idempotency",
    ] {
        let sql = format!("SELECT count(*) AS count FROM {table}");
        let count = run!(lease.conn(), |c| sql_query(&sql).get_result::<Count>(c)).unwrap();
        counts.push((table, count.count));
    }
    lease.give_back();
    counts
}

#[tokio::test]
async fn a_deleted_tenant_leaves_nothing_and_others_keep_theirs() {
    on_each_database(async |store| {
        furnish(&store, "t", 1).await;
        furnish(&store, "u", 2).await;
        assert!(
            rows(&store).await.iter().all(|(_, count)| *count == 2),
            "{:?}",
            rows(&store).await
        );
        // More than one batch of events.
        let many = (0..700).map(|n| event_of("t", &format!("m{n}"))).collect();
        store.writer.accept(many).await.unwrap();
        store.configuration.delete_tenant(&tenant("t")).await.unwrap();
        assert!(
            rows(&store).await.iter().all(|(_, count)| *count == 1),
            "{:?}",
            rows(&store).await
        );
        store.history.get_event(&tenant("u"), &"e".parse().unwrap(), None).await.unwrap();
        let again = store.configuration.delete_tenant(&tenant("t")).await;
        assert!(matches!(again, Err(StoreError::NotFound)));
    })
    .await;
}

#[tokio::test]
async fn what_is_put_is_loaded() {
    on_each_database(async |store| {
        let webhook = furnish(&store, "t", 1).await;
        let profile = ProfileRow {
            name: "standard".to_owned(),
            spec: r#"{"a":1}"#.to_owned(),
            created_at: NOW,
            updated_at: NOW,
        };
        store.configuration.put_profile(profile.clone()).await.unwrap();
        store
            .configuration
            .put_profile(ProfileRow { spec: "{}".to_owned(), ..profile })
            .await
            .unwrap();
        store.configuration.insert_key(key_row(None, 3)).await.unwrap();
        store.configuration.insert_plugin(plugin_row(None), vec![1]).await.unwrap();
        let snapshot = store.configuration.load().await.unwrap();
        assert_eq!(snapshot.webhooks, [webhook]);
        assert_eq!(snapshot.profiles.len(), 1);
        assert_eq!(snapshot.profiles[0].spec, "{}");
        assert_eq!(snapshot.tenants[0].id, tenant("t"));
        assert_eq!(snapshot.sources[0].secret, [9]);
        assert_eq!(snapshot.secrets[0].sealed, [7]);
        assert_eq!(snapshot.event_types[0].tenant, Some(tenant("t")));
        assert_eq!(snapshot.facet_values, [facet_row("t", "Sales", None)]);
        let key = snapshot.keys.iter().find(|key| key.tenant.is_some()).unwrap();
        assert_eq!(
            (key.scopes.as_slice(), key.hash),
            (&[Scope::Publish, Scope::Read][..], [1; 32])
        );
        assert!(snapshot.keys.iter().any(|key| key.tenant.is_none()));
        let plugin = snapshot.plugins.iter().find(|plugin| plugin.tenant.is_some()).unwrap();
        assert_eq!((plugin.meta.version, plugin.meta.size_bytes), (1, 3));
        assert_eq!(plugin.meta.config_schema.as_ref().unwrap().text(), r#"{"type":"object"}"#);
        store.configuration.delete_profile("standard").await.unwrap();
        let key = snapshot.keys.iter().find(|key| key.tenant.is_none()).unwrap();
        let foreign = store.configuration.delete_key(Some(&tenant("t")), key.id, NOW).await;
        assert!(matches!(foreign, Err(StoreError::NotFound)));
        let is_deleted = store.configuration.is_deleted_operator_key(&key.hash).await.unwrap();
        assert!(!is_deleted);
        store.configuration.delete_key(None, key.id, NOW).await.unwrap();
        assert!(store.configuration.is_deleted_operator_key(&key.hash).await.unwrap());
        assert_eq!(store.configuration.load().await.unwrap().keys.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_webhook_is_saved_by_revisions() {
    on_each_database(async |store| {
        let row = webhook_row("t", "crm");
        store.configuration.insert_webhook(row.clone()).await.unwrap();
        let same_name = store.configuration.insert_webhook(webhook_row("t", "crm")).await;
        assert!(matches!(same_name, Err(StoreError::NameTaken)));
        store.configuration.insert_webhook(webhook_row("u", "crm")).await.unwrap();
        let other = webhook_row("t", "other");
        store.configuration.insert_webhook(other.clone()).await.unwrap();

        let changed = WebhookRow {
            spec: r#"{"b":2}"#.to_owned(),
            disabled_reason: Some("410".to_owned()),
            updated_at: at(1),
            ..row.clone()
        };
        assert_eq!(store.configuration.update_webhook(changed.clone(), 1, 50).await.unwrap(), 2);
        let stale = store.configuration.update_webhook(changed.clone(), 1, 50).await;
        assert!(matches!(stale, Err(StoreError::Conflict(_))));
        let renamed = WebhookRow { name: "other".to_owned(), ..changed.clone() };
        assert!(matches!(
            store.configuration.update_webhook(renamed, 2, 50).await,
            Err(StoreError::NameTaken)
        ));
        let unknown = WebhookRow { id: webhook(), ..changed.clone() };
        assert!(matches!(
            store.configuration.update_webhook(unknown, 2, 50).await,
            Err(StoreError::NotFound)
        ));
        // None clears the column.
        let cleared = WebhookRow { disabled_reason: None, ..changed };
        assert_eq!(store.configuration.update_webhook(cleared, 2, 50).await.unwrap(), 3);

        let revisions =
            store.configuration.webhook_revisions(row.id, WHOLE, None).await.unwrap().data;
        let specs: Vec<_> = revisions.iter().map(|r| (r.revision, r.spec.as_str())).collect();
        assert_eq!(specs, [(3, r#"{"b":2}"#), (2, r#"{"b":2}"#), (1, "{}")]);
        let other = WebhookRow { id: other.id, name: "else".to_owned(), ..webhook_row("t", "x") };
        assert_eq!(store.configuration.update_webhook(other.clone(), 1, 1).await.unwrap(), 2);
        let kept = |rows: Vec<RevisionRow>| rows.iter().map(|r| r.revision).collect::<Vec<_>>();
        let others = store.configuration.webhook_revisions(other.id, WHOLE, None).await.unwrap();
        assert_eq!(kept(others.data), [2]);
        let own = store.configuration.webhook_revisions(row.id, WHOLE, None).await.unwrap();
        assert_eq!(kept(own.data), [3, 2, 1]);
        store
            .configuration
            .set_webhook_state(row.id, false, true, Some("410"), at(2))
            .await
            .unwrap();
        store
            .configuration
            .set_webhook_secret(row.id, vec![5], Some((vec![4], at(9))), at(3))
            .await
            .unwrap();
        let snapshot = store.configuration.load().await.unwrap();
        let stored = snapshot.webhooks.into_iter().find(|w| w.id == row.id).unwrap();
        assert_eq!((stored.enabled, stored.paused, stored.revision), (false, true, 3));
        assert_eq!(stored.disabled_reason.as_deref(), Some("410"));
        assert_eq!((stored.secret, stored.secret_before), (vec![5], Some(vec![4])));
        assert_eq!(stored.secret_before_until, Some(at(9)));
    })
    .await;
}

#[tokio::test]
async fn plugins_have_versions_that_count_up() {
    on_each_database(async |store| {
        let name = "by-label".parse().unwrap();
        let t = tenant("t");
        for version in 1..=3_u8 {
            let wasm = vec![version; 3];
            let got = store.configuration.insert_plugin(plugin_row(Some("t")), wasm).await.unwrap();
            assert_eq!(got, u32::from(version));
        }
        assert_eq!(store.configuration.insert_plugin(plugin_row(None), vec![0]).await.unwrap(), 1);
        assert_eq!(store.configuration.plugin_wasm(Some(&t), &name, 2).await.unwrap(), [2; 3]);
        assert_eq!(store.configuration.plugin_wasm(None, &name, 1).await.unwrap(), [0]);
        store.configuration.delete_plugin(Some(&t), &name, Some(2)).await.unwrap();
        let deleted = store.configuration.plugin_wasm(Some(&t), &name, 2).await;
        assert!(matches!(deleted, Err(StoreError::NotFound)));
        store.configuration.delete_plugin(Some(&t), &name, None).await.unwrap();
        let none_left = store.configuration.delete_plugin(Some(&t), &name, None).await;
        assert!(matches!(none_left, Err(StoreError::NotFound)));
        assert_eq!(store.configuration.load().await.unwrap().plugins.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn facet_values_are_told_or_learned() {
    on_each_database(async |store| {
        let told = vec![facet_row("t", "Sales", Some("Sales team")), facet_row("t", "Spam", None)];
        store.configuration.put_facet_values(&tenant("t"), "inbox", told.clone()).await.unwrap();
        let learned = vec![facet_row("t", "Sales", None), facet_row("t", "VIP", None)];
        store.configuration.add_facet_values(learned).await.unwrap();
        let values = store.configuration.load().await.unwrap().facet_values;
        let expected = [told[0].clone(), told[1].clone(), facet_row("t", "VIP", None)];
        assert_eq!(values, expected);
        store
            .configuration
            .put_facet_values(&tenant("t"), "inbox", vec![told[1].clone()])
            .await
            .unwrap();
        assert_eq!(store.configuration.load().await.unwrap().facet_values, told[1..]);
    })
    .await;
}

#[tokio::test]
async fn the_first_to_set_a_setting_wins() {
    on_each_database(async |store| {
        assert_eq!(store.configuration.setting("a").await.unwrap(), None);
        assert_eq!(store.configuration.setting_or_put("a", "1").await.unwrap(), "1");
        assert_eq!(store.configuration.setting_or_put("a", "2").await.unwrap(), "1");
        store.configuration.put_setting("a", "3").await.unwrap();
        assert_eq!(store.configuration.setting("a").await.unwrap().as_deref(), Some("3"));
    })
    .await;
}

#[tokio::test]
async fn a_tenant_can_be_put_by_many_at_once() {
    on_each_database(async |store| {
        let row =
            TenantRow { id: tenant("t"), spec: "{}".to_owned(), created_at: NOW, updated_at: NOW };
        let puts = (0..8).map(|_| store.configuration.put_tenant(row.clone()));
        let made = futures_util::future::try_join_all(puts).await.unwrap();
        assert!(made.contains(&true));
        assert_eq!(store.configuration.load().await.unwrap().tenants, [row]);
    })
    .await;
}
