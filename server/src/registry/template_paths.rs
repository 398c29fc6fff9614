//! Checks the paths in a webhook's templates against the catalog: what can't be sent is refused, what looks
//! like a slip is a warning.

use std::sync::Arc;

use antar_template::{Template, Unresolved, Variable, nearest};

use super::Registry;
use crate::model::{Event, EventType, FieldError, Invalid, PluginKind, WebhookSpec};
use crate::pipeline::accept::intake::pointer_token;
use crate::pipeline::attempt::render::{self, CannotRender, RenderInput};
use crate::pipeline::attempt::transform::Transformed;
use crate::pipeline::compiled::profile::{CatalogType, Profile};
use crate::pipeline::compiled::tenant::{Tenant, TenantState};
use crate::pipeline::compiled::variables::{Found, Shape, VariableKind, data_shape, shape};
use crate::pipeline::compiled::webhook::Webhook;

/// The event types that a webhook accepts, and their payloads as its templates see them.
pub(super) struct Known {
    types: Vec<Arc<CatalogType>>,
    /// Names of all types of the catalog.
    names: Vec<EventType>,
    shapes: Vec<Shape>,
    /// Whether no other events can arrive: every type that the webhook names is known and described.
    typed: bool,
    /// Whether templates see exactly these payloads: no transform changes them.
    complete: bool,
}

impl Registry {
    pub(super) fn known(
        &self,
        tenant: &Tenant,
        state: &TenantState,
        profile: &Profile,
        spec: &WebhookSpec,
    ) -> Known {
        let accepted = |known: &Arc<CatalogType>| {
            spec.event_types.iter().any(|filter| filter.accepts(known.spec.name.as_str()))
        };
        let operators = self.event_types();
        let all = state.event_types.values().chain(profile.types.values()).chain(&operators);
        let names = all.clone().map(|known| known.spec.name.clone()).collect();
        let mut types: Vec<Arc<CatalogType>> = Vec::new();
        for known in all.filter(|known| accepted(known)) {
            // The tenant's own type takes precedence, then its profile's.
            if !types.iter().any(|other| other.spec.name == known.spec.name) {
                types.push(known.clone());
            }
        }
        types.sort_unstable_by(|a, b| a.spec.name.cmp(&b.spec.name));
        let named = |filter: &crate::model::TypeFilter| {
            filter.as_str().contains('*')
                || types.iter().any(|known| known.spec.name.as_str() == filter.as_str())
        };
        let described =
            |known: &Arc<CatalogType>| known.spec.schema.is_some() || known.spec.example.is_some();
        let transforms = spec.plugins.iter().any(|used| {
            let plugin = state.plugin(&used.plugin);
            plugin.is_none_or(|stored| stored.meta.kind == PluginKind::Transform)
        });
        let typed =
            !types.is_empty() && types.iter().all(described) && spec.event_types.iter().all(named);
        let complete = typed && !transforms;
        let shapes = types.iter().map(|known| shape(profile, known, &tenant.id)).collect();
        Known { types, names, shapes, typed, complete }
    }

    /// Likely slips in a webhook that works.
    #[must_use]
    pub fn warnings(&self, tenant: &Tenant, webhook: &Webhook) -> Vec<FieldError> {
        let known = tenant.read(|state| self.known(tenant, state, &webhook.profile, &webhook.spec));
        let plan = &webhook.plan;
        let mut warnings =
            known.strangers(&templates(&plan.url, &plan.headers, plan.body.as_ref()));
        warnings.extend(known.unrendered(webhook));
        warnings.extend(known.odd_types(&webhook.spec));
        warnings.extend(idle_facets(webhook));
        warnings
            .extend(webhook.plan.subscription.rule_paths().filter_map(|path| known.odd_rule(path)));
        warnings
    }
}

/// Facets that constrain none of the types that the webhook accepts.
fn idle_facets(webhook: &Webhook) -> Vec<FieldError> {
    let idle = |name: &&String| {
        let facet = webhook.profile.spec.facets.iter().find(|facet| facet.name == **name);
        facet.is_some_and(|facet| {
            let named = webhook.spec.event_types.iter().map(|filter| filter.as_str());
            let mut reached = named.filter(|name| {
                name.contains('*') || facet.event_types.iter().any(|filter| filter.accepts(name))
            });
            !facet.event_types.is_empty() && reached.next().is_none()
        })
    };
    let said = |name: &String| {
        let detail = "says nothing about the event types that this webhook takes";
        FieldError::new(format!("/facets/{}", pointer_token(name)), detail)
    };
    webhook.spec.facets.keys().filter(idle).map(said).collect()
}

/// A webhook's templates, each with its pointer.
pub(super) fn templates<'a>(
    url: &'a Template,
    headers: &'a [(String, Template)],
    body: Option<&'a Template>,
) -> Vec<(String, &'a Template)> {
    let headers = headers.iter().map(|(name, t)| (format!("/headers/{}", pointer_token(name)), t));
    let body = body.map(|body| ("/body".to_owned(), body));
    std::iter::once(("/url".to_owned(), url)).chain(headers).chain(body).collect()
}

impl Known {
    /// Objects and arrays where only text, numbers and booleans are allowed.
    pub(super) fn nested(&self, templates: &[(String, &Template)]) -> Vec<FieldError> {
        let nested = |variable: &Variable| {
            variable.scalar_only
                && self.shapes.iter().any(|shape| {
                    let found = shape.find(&variable.steps);
                    use VariableKind::{Array, Object};
                    matches!(found, Found::There(Some(Object | Array)))
                })
        };
        let error = |variable: Variable| {
            format!(
                "`{}` is an object or array; a URL or header takes text, a number or a boolean: pick one of its fields",
                variable.path
            )
        };
        errors_at(templates, nested, |variable| (error(variable), None))
    }

    /// Paths that no type has.
    pub(super) fn strangers(&self, templates: &[(String, &Template)]) -> Vec<FieldError> {
        if !self.complete {
            return Vec::new();
        }
        let nowhere = |variable: &Variable| self.nearest_to(variable).is_some();
        let error = |variable: Variable| {
            let near = self.nearest_to(&variable).flatten();
            let near = near.or_else(|| self.under_data(&variable));
            let hint =
                near.as_ref().map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let types = match self.types.as_slice() {
                [one] => format!("`{}` has no", one.spec.name),
                many => {
                    format!("none of the {} event types that this webhook takes has a", many.len())
                }
            };
            (format!("{types} `{}`{hint}", variable.path), near)
        };
        errors_at(templates, nowhere, error)
    }

    /// None if some type has the path, or may have it and no known name is near; otherwise the path that was
    /// probably meant, if one is near.
    fn nearest_to(&self, variable: &Variable) -> Option<Option<String>> {
        let mut best = None::<String>;
        let mut maybe = false;
        for shape in &self.shapes {
            let (below, known) = match shape.find(&variable.steps) {
                Found::There(_) => return None,
                Found::Open { below, known } => {
                    maybe = true;
                    (below, known)
                }
                Found::Nowhere { below, known } => (below, known),
            };
            let near = variable.steps.get(below).and_then(|step| nearest(step, known));
            // Inside loops no path from the root can be suggested.
            if let Some(near) = near.filter(|_| !variable.relative) {
                let mut steps = variable.steps.clone();
                near.clone_into(&mut steps[below]);
                best = Some(steps.join("."));
            }
        }
        // Where any name is possible, only one that nearly matches a known name is worth a warning.
        if maybe && best.is_none() { None } else { Some(best) }
    }

    /// A warning for a path of the rule that begins with no field of the rule document, or that no type has
    /// in its data.
    fn odd_rule(&self, path: &str) -> Option<FieldError> {
        const ROOTS: [&str; 6] = ["id", "type", "timestamp", "tenant", "attributes", "data"];
        let mut steps = path.split('.');
        let root = steps.next().unwrap_or_default();
        if !ROOTS.contains(&root) {
            let suggestion = match nearest(root, ROOTS) {
                Some(near) => path.replacen(root, near, 1),
                None => format!("data.{path}"),
            };
            let detail = format!(
                "no event has `{path}`: rules look at {}; did you mean `{suggestion}`?",
                ROOTS.join(", ")
            );
            let suggestion = Some(suggestion);
            return Some(FieldError { suggestion, ..FieldError::new("/rule", detail) });
        }
        let typed = self.typed && root == "data";
        let known = self.types.iter().any(|known| data_shape(known).may_hold(steps.clone()));
        let detail = format!("the event types that this webhook takes have no `{path}`");
        (typed && !known).then(|| FieldError::new("/rule", detail))
    }

    /// The path one level up or down, in case `data` was added or left out by mistake.
    fn under_data(&self, variable: &Variable) -> Option<String> {
        let there = |steps: &[String]| {
            let found = |shape: &Shape| matches!(shape.find(steps), Found::There(_));
            (!steps.is_empty() && self.shapes.iter().any(found)).then(|| steps.join("."))
        };
        match variable.steps.split_first()? {
            _ if variable.relative => None,
            (first, rest) if first == "data" => there(rest),
            _ => there(&[&["data".to_owned()], variable.steps.as_slice()].concat()),
        }
    }

    /// Warnings for event types that the catalog lacks while it has one with a similar name.
    fn odd_types(&self, spec: &WebhookSpec) -> Vec<FieldError> {
        let odd = |(number, filter): (usize, &crate::model::TypeFilter)| {
            let name = filter.as_str();
            let known = self.names.iter().map(|known| known.as_str());
            if name.contains('*') || known.clone().any(|known| known == name) {
                return None;
            }
            let near = nearest(name, known)?.to_owned();
            let detail = format!("the catalog has no `{name}`; did you mean `{near}`?");
            let at = FieldError::new(format!("/event_types/{number}"), detail);
            Some(FieldError { suggestion: Some(near), ..at })
        };
        spec.event_types.iter().enumerate().filter_map(odd).collect()
    }

    /// Refuses a webhook that fails to render for the examples of all types it accepts.
    pub(super) fn check_examples(&self, webhook: &Webhook) -> Result<(), Invalid> {
        // An example may lack optional fields; with `fail` an error then says nothing about the template.
        if webhook.plan.unresolved == Unresolved::Fail {
            return Ok(());
        }
        let errors = self.unrendered(webhook);
        if errors.is_empty() || errors.len() < self.examples().count() {
            return Ok(());
        }
        Err(Invalid { code: "template_invalid", errors })
    }

    fn examples(&self) -> impl Iterator<Item = &Arc<CatalogType>> {
        self.types.iter().filter(|known| self.complete && known.spec.example.is_some())
    }

    /// An error for each example that the webhook can't be rendered for.
    fn unrendered(&self, webhook: &Webhook) -> Vec<FieldError> {
        let unrendered = |known: &Arc<CatalogType>| {
            let of = format!("the example of `{}`", known.spec.name);
            cannot_render(webhook, &known.example_event(&webhook.tenant), &of)
        };
        self.examples().filter_map(unrendered).collect()
    }
}

/// Refuses a webhook that can't be rendered for the sample sent with it.
pub fn check_sample(webhook: &Webhook, sample: &Event) -> Result<(), Invalid> {
    match cannot_render(webhook, sample, "the sample") {
        None => Ok(()),
        Some(error) => Err(Invalid { code: "template_invalid", errors: vec![error] }),
    }
}

/// Steps for rendering an example or sample, which are small.
const STEPS_MAX: usize = 1_000_000;

/// Why a webhook can't be rendered for an event; plugins are not called.
fn cannot_render(webhook: &Webhook, event: &Event, of: &str) -> Option<FieldError> {
    let delivery_id = crate::model::DeliveryId(uuid::Uuid::nil());
    let input = RenderInput { webhook, event, delivery_id, test: false };
    let transformed = Transformed { data: None, headers: Vec::new(), secrets: Vec::new() };
    let CannotRender { place, error, .. } = render::render(input, &transformed, STEPS_MAX).err()?;
    let (pointer, text) = match place.strip_prefix("headers.") {
        Some(name) => {
            let text = webhook.spec.headers.get(name).and_then(serde_json::Value::as_str);
            (format!("/headers/{}", pointer_token(name)), text)
        }
        None if place == "url" => ("/url".to_owned(), Some(webhook.spec.url.as_str())),
        None => (format!("/{place}"), webhook.spec.body.as_deref()),
    };
    // An error about a token begins with that token.
    let said = error.to_string();
    let token = said.starts_with("{{").then(|| said.find("}}").map(|end| &said[..end + 2]));
    let at = token.flatten().zip(text).and_then(|(token, text)| Some(&text[..text.find(token)?]));
    let line = at.map(|before| before.matches('\n').count() + 1);
    let column = at.map(|before| {
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        before[start..].chars().count() + 1
    });
    let detail = format!("with {of}: {said}");
    Some(FieldError { line, column, ..FieldError::new(pointer, detail) })
}

/// An error for every variable that `wrong` matches, with the detail and suggestion from `say`.
fn errors_at(
    templates: &[(String, &Template)],
    wrong: impl Fn(&Variable) -> bool,
    say: impl Fn(Variable) -> (String, Option<String>),
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (pointer, template) in templates {
        for variable in template.variables().into_iter().filter(&wrong) {
            let (line, column) = (variable.line, variable.column);
            let (detail, suggestion) = say(variable);
            let at = FieldError::new(pointer.clone(), detail);
            errors.push(FieldError { line: Some(line), column: Some(column), suggestion, ..at });
        }
    }
    errors
}
