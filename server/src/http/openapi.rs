//! OpenAPI description of the API, generated from the handlers.

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};
use utoipa::OpenApi;

use super::edge::error::{Code, Entry, PROBLEM_JSON, ProblemBody};

/// The document as it is served.
pub(super) struct Text(pub(super) Bytes);

/// Schemas that appear in no handler's signature.
#[derive(OpenApi)]
#[openapi(components(schemas(ProblemBody)))]
struct Shared;

/// Paths that need no key.
const OPEN: [&str; 3] = ["/in/{source}/{secret}", "/healthz", "/readyz"];

/// Prefix of references to schemas.
const SCHEMAS: &str = "#/components/schemas/";
const MERGE_PATCH_JSON: &str = "application/merge-patch+json";

/// Completes the description of the handlers: path parameters, operation ids, problems, keys.
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
            for (method, operation) in item.as_object_mut().into_iter().flatten() {
                complete(path, method, operation);
            }
        }
    }
    for name in patches(&document) {
        let schemas = &mut document["components"]["schemas"];
        schemas[&name] = patch_of(&schemas[&name], schemas);
    }
    open_objects(&mut document);
    Ok(Text(serde_json::to_vec(&document)?.into()))
}

fn problem(entry: Entry) -> Json {
    json!({ "code": entry.code, "status": entry.status, "title": entry.title, "advice": entry.advice })
}

fn complete(path: &str, method: &str, operation: &mut Json) {
    let tag = operation["tags"][0].as_str().unwrap_or_default().replace(' ', "_");
    // One handler serves all methods of an incoming URL.
    let handler = operation["operationId"].as_str().unwrap_or_default();
    let name = if path.starts_with("/in/") { method } else { handler };
    operation["operationId"] = format!("{tag}_{name}").into();
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let in_path = names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let mut parameters: Vec<Json> = in_path.collect();
    parameters.extend(operation["parameters"].as_array().cloned().unwrap_or_default());
    operation["parameters"] = parameters.into();
    let schema = json!({ "$ref": format!("{SCHEMAS}ProblemBody") });
    operation["responses"]["default"] =
        json!({ "description": "A problem", "content": { PROBLEM_JSON: { "schema": schema } } });
    if !OPEN.contains(&path) {
        operation["security"] = json!([{ "key": [] }]);
    }
}

/// Names of the schemas used as merge patches.
fn patches(document: &Json) -> Vec<String> {
    let items = document["paths"].as_object().into_iter().flat_map(Map::values);
    let operations = items.filter_map(Json::as_object).flat_map(Map::values);
    let schemas = operations
        .map(|operation| &operation["requestBody"]["content"][MERGE_PATCH_JSON]["schema"]["$ref"]);
    schemas
        .filter_map(|reference| Some(reference.as_str()?.strip_prefix(SCHEMAS)?.to_owned()))
        .collect()
}

/// The schema of a merge patch (RFC 7396) for what `schema` describes: no member is required, and
/// `null` removes those that are not required there.
fn patch_of(schema: &Json, schemas: &Json) -> Json {
    let (mut members, mut required) = (Map::new(), Vec::new());
    collect(schema, schemas, &mut members, &mut required);
    for (name, member) in &mut members {
        if !required.contains(name) && !takes_null(member) {
            *member = json!({ "oneOf": [{ "type": "null" }, member.take()] });
        }
    }
    json!({ "type": "object", "description": schema["description"], "properties": members })
}

/// Collects the members of an object described in parts, and the names of those that are required.
fn collect(
    schema: &Json,
    schemas: &Json,
    members: &mut Map<String, Json>,
    required: &mut Vec<String>,
) {
    if let Some(name) =
        schema["$ref"].as_str().and_then(|reference| reference.strip_prefix(SCHEMAS))
    {
        return collect(&schemas[name], schemas, members, required);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        collect(part, schemas, members, required);
    }
    members.extend(schema["properties"].as_object().cloned().unwrap_or_default());
    let names = schema["required"].as_array().into_iter().flatten();
    required.extend(names.filter_map(Json::as_str).map(ToOwned::to_owned));
}

fn takes_null(schema: &Json) -> bool {
    let null = |kind: &Json| kind == "null";
    let parts = schema["oneOf"].as_array().into_iter().flatten();
    schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(null))
        || parts.map(|part| &part["type"]).any(null)
}

/// Allows additional properties: a view consists of its settings and more, so the schema of the
/// settings must not forbid more. Posted objects with unknown members are refused anyway.
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
mod tests;
