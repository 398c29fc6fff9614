//! The API's own description, made from the handlers.

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};
use utoipa::OpenApi;

use super::error::{Code, Entry, PROBLEM_JSON, ProblemBody};

/// The document as it is served.
pub(super) struct Text(pub(super) Bytes);

/// Parts that no handler's signature shows.
#[derive(OpenApi)]
#[openapi(components(schemas(ProblemBody)))]
struct Shared;

/// Calls that need no key.
const OPEN: [&str; 3] = ["/in/{source}/{secret}", "/healthz", "/readyz"];

/// Completes what the handlers say: path parameters, ids of operations, problems, keys.
pub(super) fn text(handlers: utoipa::openapi::OpenApi) -> Result<Text, serde_json::Error> {
    let mut document = serde_json::to_value(handlers.merge_from(Shared::openapi()))?;
    document["info"] = json!({
        "title": "Antar",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Webhooks out and in. Every answer that is no success is `application/problem+json`; the codes are under `x-problems`.",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    document["components"]["securitySchemes"] = json!({
        "key": { "type": "http", "scheme": "bearer", "bearerFormat": "antar_…", "description": "A key with the scope that the call needs." }
    });
    document["x-problems"] =
        Json::Array(Code::ALL.iter().map(|code| problem(code.entry())).collect());
    if let Some(Json::Object(paths)) = document.get_mut("paths") {
        for (path, item) in paths.iter_mut() {
            for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
                complete(path, operation);
            }
        }
    }
    open_objects(&mut document);
    Ok(Text(serde_json::to_vec(&document)?.into()))
}

fn problem(entry: Entry) -> Json {
    json!({ "code": entry.code, "status": entry.status, "title": entry.title, "advice": entry.advice })
}

fn complete(path: &str, operation: &mut Json) {
    let tag = operation["tags"][0].as_str().unwrap_or_default().replace(' ', "_");
    let name = operation["operationId"].as_str().unwrap_or_default();
    operation["operationId"] = format!("{tag}_{name}").into();
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let in_path = names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let mut parameters: Vec<Json> = in_path.collect();
    parameters.extend(operation["parameters"].as_array().cloned().unwrap_or_default());
    operation["parameters"] = parameters.into();
    let schema = json!({ "$ref": "#/components/schemas/ProblemBody" });
    operation["responses"]["default"] =
        json!({ "description": "A problem", "content": { PROBLEM_JSON: { "schema": schema } } });
    if !OPEN.contains(&path) {
        operation["security"] = json!([{ "key": [] }]);
    }
}

/// A view is its settings and more, so the schema of the settings may not forbid more. What is
/// posted with an unknown member is refused all the same.
fn open_objects(json: &mut Json) {
    match json {
        Json::Object(members) => {
            if members.get("additionalProperties") == Some(&Json::Bool(false)) {
                members.remove("additionalProperties");
            }
            members.values_mut().for_each(open_objects);
        }
        Json::Array(elements) => elements.iter_mut().for_each(open_objects),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{ROUTES, description};

    fn document() -> Json {
        serde_json::from_slice(&text(description()).unwrap().0).unwrap()
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = document();
        let mut described: Vec<(String, String)> = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            described.extend(
                item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())),
            );
        }
        let mut routes: Vec<_> = ROUTES
            .iter()
            .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        routes.push(("post".to_owned(), "/in/{source}/{secret}".to_owned()));
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
}
