//! Manifests: parsing files into checked resources.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::exact_json;
use crate::model::{
    EventTypeSpec, PluginName, ProfileSpec, SecretName, SourceSpec, TenantId, TenantSpec,
    WebhookSpec,
};
use crate::yaml::{self, Node};

/// Kind of a document, in order of dependency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Kind {
    Profile,
    Tenant,
    Secret,
    Plugin,
    EventType,
    Webhook,
    Source,
}

impl Kind {
    pub(super) const ALL: [Kind; 7] = [
        Kind::Profile,
        Kind::Tenant,
        Kind::Secret,
        Kind::Plugin,
        Kind::EventType,
        Kind::Webhook,
        Kind::Source,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Profile => "profile",
            Kind::Tenant => "tenant",
            Kind::Secret => "secret",
            Kind::Plugin => "plugin",
            Kind::EventType => "event_type",
            Kind::Webhook => "webhook",
            Kind::Source => "source",
        }
    }

    fn parse(text: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Where a document comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// File name as given, or `standard input`.
    pub(super) file: String,
    /// Number of the document in its file, from 1.
    pub(super) number: usize,
    node: Node,
}

impl Origin {
    /// `crm.yaml:14`
    pub(super) fn at(&self, pointer: &str) -> String {
        format!("{}:{}", self.file, self.line(pointer))
    }

    pub(super) fn line(&self, pointer: &str) -> u64 {
        self.node.line_of(pointer)
    }
}

/// A valid document.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) kind: Kind,
    /// `None` for profiles, tenants, and event types of the operator.
    pub(super) tenant: Option<String>,
    pub(super) name: String,
    pub(super) content: Content,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// In the format of the API, with defaults filled in as the server shows it.
    Spec {
        spec: Json,
        secret_from: Option<ValueFrom>,
    },
    Secret(ValueFrom),
    /// Path of a WASM file.
    Plugin(PathBuf),
}

/// Where the value of a secret is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ValueFrom {
    Variable(String),
    File(PathBuf),
}

impl ValueFrom {
    /// Reads the value without one trailing line end.
    pub(super) fn read(&self) -> anyhow::Result<String> {
        let value = match self {
            ValueFrom::Variable(name) => std::env::var(name).map_err(|_| {
                anyhow!("the variable {name} is not set as text; set it where `antar apply` runs")
            })?,
            ValueFrom::File(path) => {
                std::fs::read_to_string(path).with_context(|| path.display().to_string())?
            }
        };
        let value =
            value.strip_suffix('\n').map_or(value.as_str(), |v| v.strip_suffix('\r').unwrap_or(v));
        if value.is_empty() {
            bail!("the value is empty");
        }
        Ok(value.to_owned())
    }
}

/// An invalid document.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line} (document {number}): {detail}")]
pub(super) struct Misread {
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) number: usize,
    pub(super) detail: String,
}

/// Reads a file, the YAML files of a folder, or `-`, and appends to the valid and the invalid
/// documents.
pub(super) fn read(
    path: &Path,
    tenant: &str,
    into: &mut Vec<Resource>,
    misread: &mut Vec<Misread>,
) -> anyhow::Result<()> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        parse("standard input", &text, Path::new("."), tenant, into, misread);
        return Ok(());
    }
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
        let paths: Result<Vec<_>, _> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let is_yaml = |path: &PathBuf| {
            path.extension().is_some_and(|e| e == "yaml" || e == "yml") && path.is_file()
        };
        files = paths?.into_iter().filter(is_yaml).collect();
        files.sort();
        if files.is_empty() {
            bail!(
                "{} has no .yaml or .yml file; folders inside it are not looked into",
                path.display()
            );
        }
    }
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let folder = file.parent().unwrap_or(Path::new("."));
        parse(&file.display().to_string(), &text, folder, tenant, into, misread);
    }
    Ok(())
}

/// `folder` is the base of paths in the documents, `tenant` the tenant of documents that name none.
pub(super) fn parse(
    file: &str,
    text: &str,
    folder: &Path,
    tenant: &str,
    into: &mut Vec<Resource>,
    misread: &mut Vec<Misread>,
) {
    let documents = match yaml::documents(text) {
        Ok(documents) => documents,
        Err(error) => {
            let (line, detail) = (error.line, format!("this is no YAML: {error}"));
            return misread.push(Misread { file: file.to_owned(), line, number: 0, detail });
        }
    };
    for (index, node) in documents.into_iter().enumerate() {
        let origin = Origin { file: file.to_owned(), number: index + 1, node };
        match resource(&origin, folder, tenant) {
            Ok(resource) => into.push(resource),
            Err((pointer, detail)) => misread.push(Misread {
                file: origin.file.clone(),
                line: origin.line(&pointer),
                number: origin.number,
                detail,
            }),
        }
    }
}

/// JSON pointer and error.
type Wrong = (String, String);

fn resource(origin: &Origin, folder: &Path, tenant: &str) -> Result<Resource, Wrong> {
    let Json::Object(mut members) = origin.node.to_json() else {
        return Err((
            String::new(),
            "a document is a map with `kind` and the resource's own fields".to_owned(),
        ));
    };
    let kinds = Kind::ALL.map(Kind::as_str).join(", ");
    let kind = text(&mut members, "kind")?
        .ok_or_else(|| (String::new(), format!("`kind` is missing; it is one of {kinds}")))?;
    let kind = Kind::parse(&kind).ok_or_else(|| {
        ("/kind".to_owned(), format!("`{kind}` is no kind; it is one of {kinds}"))
    })?;
    let tenant = tenant_of(kind, &mut members, tenant)?;
    let name = members.get("name").filter(|name| !exact_json::is_number(name));
    let name = name.and_then(Json::as_str).map(str::to_owned);
    let name = name.ok_or_else(|| {
        ("/name".to_owned(), format!("a {} has a `name`, as text", kind.as_str()))
    })?;
    let checked =
        |wrong: Option<String>| wrong.map_or(Ok(()), |detail| Err(("/name".to_owned(), detail)));
    let content = match kind {
        Kind::Secret => {
            checked(name.parse::<SecretName>().err())?;
            members.remove("name");
            let from = value_from(&mut members, "value_from", folder)?;
            nothing_more(&members, "kind, tenant, name, value_from")?;
            Content::Secret(from.ok_or_else(|| {
                (
                    String::new(),
                    "a secret has `value_from: {env: NAME}` or `value_from: {file: PATH}`"
                        .to_owned(),
                )
            })?)
        }
        Kind::Plugin => {
            checked(name.parse::<PluginName>().err())?;
            members.remove("name");
            let file = text(&mut members, "file")?;
            nothing_more(&members, "kind, tenant, name, file")?;
            let file = file
                .ok_or_else(|| (String::new(), "a plugin has `file: PATH`, its WASM".to_owned()))?;
            Content::Plugin(folder.join(file))
        }
        Kind::Tenant => {
            checked(name.parse::<TenantId>().err())?;
            members.remove("name");
            Content::Spec { spec: canonical::<TenantSpec>(members)?, secret_from: None }
        }
        Kind::Profile => {
            Content::Spec { spec: canonical::<ProfileSpec>(members)?, secret_from: None }
        }
        Kind::EventType => {
            Content::Spec { spec: canonical::<EventTypeSpec>(members)?, secret_from: None }
        }
        Kind::Source => {
            Content::Spec { spec: canonical::<SourceSpec>(members)?, secret_from: None }
        }
        Kind::Webhook => {
            if members.contains_key("secret") {
                let detail = "a secret does not stand in a manifest; write `secret_from: {env: NAME}` or {file: PATH}";
                return Err(("/secret".to_owned(), detail.to_owned()));
            }
            let secret_from = value_from(&mut members, "secret_from", folder)?;
            Content::Spec { spec: canonical::<WebhookSpec>(members)?, secret_from }
        }
    };
    Ok(Resource { kind, tenant, name, content, origin: origin.clone() })
}

/// Removes the member `tenant`. `tenant: null` in an event type means the operator's catalog.
fn tenant_of(
    kind: Kind,
    members: &mut Map<String, Json>,
    default: &str,
) -> Result<Option<String>, Wrong> {
    let wrong = |detail: String| ("/tenant".to_owned(), detail);
    let said = members.remove("tenant");
    match (kind, said) {
        (Kind::Profile | Kind::Tenant, None) => Ok(None),
        (Kind::Profile | Kind::Tenant, Some(_)) => {
            Err(wrong(format!("a {} belongs to no tenant", kind.as_str())))
        }
        (Kind::EventType, Some(Json::Null)) => Ok(None),
        (_, None) => Ok(Some(default.to_owned())),
        (_, Some(Json::String(name))) => match name.parse::<TenantId>() {
            Ok(_) => Ok(Some(name)),
            Err(detail) => Err(wrong(detail)),
        },
        (_, Some(other)) => Err(wrong(format!("`{other}` is no text; write it in quotes"))),
    }
}

/// Removes a text member.
fn text(members: &mut Map<String, Json>, key: &str) -> Result<Option<String>, Wrong> {
    match members.remove(key) {
        None => Ok(None),
        Some(Json::String(text)) if !exact_json::is_number(&Json::from(text.as_str())) => {
            Ok(Some(text))
        }
        Some(other) => {
            let other = exact_json::text(&other);
            Err((format!("/{key}"), format!("`{key}` is text, not `{other}`")))
        }
    }
}

fn value_from(
    members: &mut Map<String, Json>,
    key: &str,
    folder: &Path,
) -> Result<Option<ValueFrom>, Wrong> {
    let Some(value) = members.remove(key) else { return Ok(None) };
    let one = value.as_object().filter(|object| object.len() == 1);
    let text = |name: &str| one.and_then(|object| object.get(name)).and_then(Json::as_str);
    match (text("env"), text("file")) {
        (Some(name), _) => Ok(Some(ValueFrom::Variable(name.to_owned()))),
        (_, Some(path)) => Ok(Some(ValueFrom::File(folder.join(path)))),
        _ => Err((format!("/{key}"), format!("`{key}` is {{env: NAME}} or {{file: PATH}}"))),
    }
}

fn nothing_more(members: &Map<String, Json>, known: &str) -> Result<(), Wrong> {
    match members.keys().next() {
        Some(key) => {
            Err((format!("/{key}"), format!("`{key}` is not known here; there are {known}")))
        }
        None => Ok(()),
    }
}

/// Deserializes `members` as `T` and serializes it again, as the server does: defaults are filled
/// in, so that equal resources have equal JSON.
pub(super) fn canonical<T: DeserializeOwned + Serialize>(
    members: Map<String, Json>,
) -> Result<Json, Wrong> {
    let value = Json::Object(members);
    match exact_json::read::<T>(&value) {
        Ok(spec) => exact_json::of(&spec).map_err(|error| (String::new(), error)),
        Err(detail) => {
            // Removing a required member only changes which field is reported missing, so any
            // missing field counts as the same error.
            let missing = detail.starts_with("missing field");
            let same = |value: Json| {
                let other = exact_json::read::<T>(&value).err();
                other.is_some_and(|other| {
                    other == detail || missing && other.starts_with("missing field")
                })
            };
            Err((culprit(&value, &same), detail))
        }
    }
}

/// Finds the part that causes an error without a location: the part without which the error changes
/// or disappears. `same` returns whether a modified value still has the error.
fn culprit(value: &Json, same: &dyn Fn(Json) -> bool) -> String {
    let parts: Vec<(String, Json, Json)> = match value {
        Json::Object(members) => members
            .iter()
            .map(|(key, part)| {
                let mut rest = members.clone();
                rest.shift_remove(key);
                (key.replace('~', "~0").replace('/', "~1"), part.clone(), Json::Object(rest))
            })
            .collect(),
        Json::Array(elements) => elements
            .iter()
            .enumerate()
            .map(|(index, part)| {
                let mut rest = elements.clone();
                rest.remove(index);
                (index.to_string(), part.clone(), Json::Array(rest))
            })
            .collect(),
        _ => return String::new(),
    };
    for (key, part, rest) in parts {
        if same(rest) {
            continue;
        }
        let inside = |changed: Json| {
            let mut whole = value.clone();
            match &mut whole {
                Json::Object(members) => {
                    let key = key.replace("~1", "/").replace("~0", "~");
                    members.insert(key, changed);
                }
                Json::Array(elements) => {
                    if let Some(place) =
                        key.parse::<usize>().ok().and_then(|index| elements.get_mut(index))
                    {
                        *place = changed;
                    }
                }
                _ => {}
            }
            same(whole)
        };
        return format!("/{key}{}", culprit(&part, &inside));
    }
    String::new()
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
