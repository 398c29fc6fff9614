//! Checks of the description against the routes and against what handlers accept.

use serde::de::DeserializeOwned;

use super::*;
use crate::http::configuration::event_types::ProfileQuery;
use crate::http::configuration::keys::KeyQuery;
use crate::http::configuration::plugins::NameQuery;
use crate::http::deliveries::listen::ListenQuery;
use crate::http::deliveries::replays::ReplayQuery;
use crate::http::deliveries::resource::DeliveryQuery;
use crate::http::edge::page::Paging;
use crate::http::events::rejections::RejectionQuery;
use crate::http::events::resource::{EventQuery, SourceQuery};
use crate::http::webhooks::explain::EventIdQuery;
use crate::http::webhooks::resource::WebhookQuery;
use crate::http::{ROUTES, description};

fn document() -> Json {
    serde_json::from_slice(&text(description()).unwrap().0).unwrap()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let document = document();
    let mut described: Vec<(String, String)> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        described
            .extend(item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())));
    }
    let mut routes: Vec<_> =
        ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    let incoming = ["get", "post", "put", "patch", "delete"];
    routes.extend(incoming.map(|method| (method.to_owned(), "/in/{source}/{secret}".to_owned())));
    described.sort();
    routes.sort();
    assert_eq!(described, routes);
}

#[test]
fn references_lead_somewhere() {
    let document = document();
    let text = document.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[test]
fn operations_have_ids_of_their_own_a_summary_and_a_key() {
    let document = document();
    let mut ids = std::collections::HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{method} {path}"
            );
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert_eq!(
                operation["security"].is_array(),
                !OPEN.contains(&path.as_str()),
                "{method} {path}"
            );
        }
    }
}

/// Names of the parameters that `T` accepts, from its error about an unknown one.
fn taken<T: DeserializeOwned>() -> Vec<String> {
    let Err(error) = actix_web::web::Query::<T>::from_query("no%20such=") else {
        panic!("a query that takes anything")
    };
    let text = error.to_string();
    let (_, expected) = text.split_once("expected ").unwrap();
    let mut names: Vec<_> = expected.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
    names.sort();
    names
}

fn listed(operation: &Json, place: &str) -> Vec<String> {
    let parameters = operation["parameters"].as_array().unwrap().iter();
    let of_place = parameters.filter(|parameter| parameter["in"] == place);
    let mut names: Vec<_> =
        of_place.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn queries_are_listed_as_they_are_taken() {
    let paged = [
        "/v1/tenants",
        "/v1/event-types",
        "/v1/profiles",
        "/v1/tenants/{tenant}/events/{id}/explain",
        "/v1/tenants/{tenant}/sources",
        "/v1/tenants/{tenant}/secrets",
        "/v1/tenants/{tenant}/plugins",
        "/v1/tenants/{tenant}/plugins/{name}/versions",
        "/v1/tenants/{tenant}/facets",
        "/v1/tenants/{tenant}/facets/{facet}/values",
        "/v1/tenants/{tenant}/event-types",
        "/v1/tenants/{tenant}/keys",
        "/v1/tenants/{tenant}/webhooks/{id}/revisions",
        "/v1/tenants/{tenant}/deliveries/{id}/attempts",
    ];
    let mut queries = vec![
        ("get", "/v1/tenants/{tenant}/deliveries", taken::<DeliveryQuery>()),
        ("get", "/v1/tenants/{tenant}/deliveries/stream", taken::<ListenQuery>()),
        ("get", "/v1/tenants/{tenant}/replays", taken::<ReplayQuery>()),
        ("get", "/v1/tenants/{tenant}/rejections", taken::<RejectionQuery>()),
        ("get", "/v1/tenants/{tenant}/events", taken::<EventQuery>()),
        ("get", "/v1/tenants/{tenant}/events/{id}", taken::<SourceQuery>()),
        ("get", "/v1/tenants/{tenant}/webhooks", taken::<WebhookQuery>()),
        ("get", "/v1/tenants/{tenant}/webhooks/{id}/explain", taken::<EventIdQuery>()),
        ("get", "/v1/tenants/{tenant}/event-types/{type}/variables", taken::<ProfileQuery>()),
        ("post", "/v1/tenants/{tenant}/plugins", taken::<NameQuery>()),
        ("get", "/v1/keys", taken::<KeyQuery>()),
    ];
    queries.extend(paged.map(|path| ("get", path, taken::<Paging>())));
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let query = queries.iter().find(|(m, p, _)| m == method && p == path);
            let taken = query.map_or_else(Vec::new, |(_, _, names)| names.clone());
            assert_eq!(listed(operation, "query"), taken, "{method} {path}");
            let in_path = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
            let mut in_path: Vec<_> = in_path.map(ToOwned::to_owned).collect();
            in_path.sort();
            assert_eq!(listed(operation, "path"), in_path, "{method} {path}");
        }
    }
    assert!(taken::<DeliveryQuery>().contains(&"webhook_id".to_owned()));
    for (method, path, names) in queries {
        assert!(!names.is_empty());
        assert!(document["paths"][path][method].is_object(), "{method} {path}");
    }
}

#[test]
fn a_plugin_is_uploaded_as_bytes_under_a_name() {
    let document = document();
    let upload = &document["paths"]["/v1/tenants/{tenant}/plugins"]["post"];
    let schema = &upload["requestBody"]["content"]["application/wasm"]["schema"];
    assert_eq!((&schema["type"], &schema["format"]), (&json!("string"), &json!("binary")));
    let parameters = upload["parameters"].as_array().unwrap();
    let name = parameters.iter().find(|parameter| parameter["name"] == "name").unwrap();
    assert_eq!(name["required"], true);
}

fn members(
    document: &Json,
    path: &str,
    method: &str,
    content_type: &str,
) -> (Map<String, Json>, Vec<String>) {
    let body = &document["paths"][path][method]["requestBody"]["content"][content_type]["schema"];
    let (mut members, mut required) = (Map::new(), Vec::new());
    collect(body, &document["components"]["schemas"], &mut members, &mut required);
    (members, required)
}

#[test]
fn the_secret_is_a_member_of_what_is_posted() {
    let document = document();
    for (path, method, secret) in [
        ("/v1/tenants/{tenant}/webhooks", "post", true),
        ("/v1/tenants/{tenant}/webhooks/{id}", "put", true),
        ("/v1/tenants/{tenant}/sources", "post", true),
        ("/v1/tenants/{tenant}", "put", false),
    ] {
        let (members, required) = members(&document, path, method, "application/json");
        assert_eq!(members.contains_key("secret"), secret, "{method} {path}");
        assert!(!required.contains(&"secret".to_owned()), "{method} {path}");
    }
}

#[test]
fn patches_show_the_members_and_require_none() {
    let document = document();
    for (path, known, unknown) in [
        ("/v1/tenants/{tenant}/webhooks/{id}", &["name", "retry", "secret", "paused"][..], "id"),
        ("/v1/tenants/{tenant}/sources/{id}", &["name", "split", "enabled"][..], "secret"),
    ] {
        let (members, required) = members(&document, path, "patch", MERGE_PATCH_JSON);
        assert_eq!(required, [""; 0], "{path}");
        for name in known {
            assert!(members.contains_key(*name), "{path} {name}");
        }
        assert!(!members.contains_key(unknown), "{path}");
        assert_eq!(members["name"]["type"], "string", "{path}: it can't be taken out");
        assert!(takes_null(&members["profile"]), "{path}");
        let switched = known.contains(&"paused");
        assert_eq!(takes_null(&members["enabled"]), !switched, "{path}");
    }
}
