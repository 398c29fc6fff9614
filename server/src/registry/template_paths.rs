//! Checks the paths in a webhook's templates against the catalog: what can't be sent is refused, what looks
//! like a slip is a warning.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::sync::Arc;

use antar_template::{Template, Unresolved, Variable, nearest};

use super::turns::compile_pool::For;
use super::webhooks::earlier_rules::settings_of_earlier_rules;
use super::{ChangeError, Registry};
use crate::model::{
    Event, EventType, FieldError, Invalid, JsonText, PayloadEntry, PluginKind, WebhookSpec,
    pointer_token,
};
use crate::pipeline::attempt::render::{self, CannotRender, RenderInput};
use crate::pipeline::attempt::transform::Transformed;
use crate::pipeline::compiled::profile::{CatalogType, Profile};
use crate::pipeline::compiled::shape::{Effort, Found, Shape, VariableKind};
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::variables::{data_paths, paths};
use crate::pipeline::compiled::webhook::Webhook;

/// Errors of one kind in one webhook that are reported.
const ERRORS_MAX: usize = 100;

/// Examples that a webhook is rendered for at save.
const EXAMPLES_MAX: usize = 20;

/// The event types that a webhook accepts, and their payloads as its templates see them. All looking around in
/// them is bounded together: what is left when the effort is spent is not checked.
pub(super) struct Known {
    types: Vec<Arc<CatalogType>>,
    /// Names of all types of the catalog.
    names: Vec<EventType>,
    /// Types with the same schema, example and payload share one.
    shapes: Vec<Shape>,
    /// Those of `data`, made when they are needed.
    data: OnceCell<Vec<Shape>>,
    effort: Effort,
    /// Whether no other events can arrive: every type that the webhook names is known and described.
    typed: bool,
    /// Whether templates see exactly these payloads: no transform changes them.
    complete: bool,
}

/// What a type's shape depends on.
type ShapeKey<'a> = (*const PayloadEntry, Option<&'a JsonText>, Option<&'a JsonText>);

/// One of each group of types whose events have the same shape in a profile.
fn one_of_each_shape<'a>(
    types: &'a [Arc<CatalogType>],
    profile: &'a Profile,
) -> impl Iterator<Item = &'a Arc<CatalogType>> {
    let mut seen: HashSet<ShapeKey<'a>> = HashSet::new();
    types.iter().filter(move |known| {
        let spec = &known.spec;
        let entries = profile.entries(&spec.name).as_ptr();
        seen.insert((entries, spec.schema.as_ref(), spec.example.as_ref()))
    })
}

impl Registry {
    pub(super) fn known(&self, tenant: &Tenant, profile: &Profile, spec: &WebhookSpec) -> Known {
        let accepted = |known: &Arc<CatalogType>| {
            spec.event_types.iter().any(|filter| filter.accepts(known.spec.name.as_str()))
        };
        let operators = self.event_types();
        let (own, transforms) = tenant.read(|state| {
            let own: Vec<_> = state.event_types.values().cloned().collect();
            let mut plugins = spec.plugins.iter().map(|used| state.plugin(&used.plugin));
            let transforms = plugins.any(|plugin| {
                plugin.is_none_or(|stored| stored.meta.kind == PluginKind::Transform)
            });
            (own, transforms)
        });
        let all = own.iter().chain(profile.types.values()).chain(&operators);
        let names = all.clone().map(|known| known.spec.name.clone()).collect();
        let mut taken = HashSet::new();
        // The tenant's own type takes precedence, then its profile's.
        let mut types: Vec<Arc<CatalogType>> = all
            .filter(|known| accepted(known) && taken.insert(known.spec.name.clone()))
            .cloned()
            .collect();
        types.sort_unstable_by(|a, b| a.spec.name.cmp(&b.spec.name));
        let named = |filter: &crate::model::TypeFilter| {
            filter.as_str().contains('*')
                || types.iter().any(|known| known.spec.name.as_str() == filter.as_str())
        };
        let described =
            |known: &Arc<CatalogType>| known.spec.schema.is_some() || known.spec.example.is_some();
        let typed =
            !types.is_empty() && types.iter().all(described) && spec.event_types.iter().all(named);
        let effort = Effort::default();
        let shapes = one_of_each_shape(&types, profile)
            .map(|known| paths(profile, known, &tenant.id, &effort))
            .collect();
        let (data, complete) = (OnceCell::new(), typed && !transforms);
        Known { types, names, shapes, data, effort, typed, complete }
    }

    /// Likely slips in a webhook that works.
    pub async fn warnings(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        webhook: &Arc<Webhook>,
    ) -> Result<Vec<FieldError>, ChangeError> {
        let (registry, of, webhook) = (self.clone(), tenant.clone(), webhook.clone());
        let look = move || registry.slips(&of, &webhook);
        self.compiler.run(For::Tenant(&tenant.id), look).await
    }

    fn slips(&self, tenant: &Tenant, webhook: &Webhook) -> Vec<FieldError> {
        let known = self.known(tenant, &webhook.profile, &webhook.spec);
        let plan = &webhook.plan;
        let mut warnings =
            known.strangers(&templates(&plan.url, &plan.headers, plan.body.as_ref()));
        warnings.extend(known.unrendered(webhook));
        warnings.extend(known.odd_types(&webhook.spec));
        warnings.extend(idle_facets(webhook));
        let odd = plan.subscription.rule_paths().filter_map(|path| known.odd_rule(path));
        warnings.extend(odd.take(ERRORS_MAX));
        warnings.extend(self.leads_home(tenant, webhook));
        warnings.extend(settings_of_earlier_rules(&webhook.spec));
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
                    let found = shape.find(&variable.steps, &self.effort);
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
            let (below, known) = match shape.find(&variable.steps, &self.effort) {
                Found::There(_) => return None,
                Found::Open { below, known } => {
                    maybe = true;
                    (below, known)
                }
                Found::Nowhere { below, known } => (below, known),
            };
            let step = variable.steps.get(below).filter(|_| self.can_compare(known.len()));
            let near = step.and_then(|step| nearest(step, known));
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

    /// Spends the effort of finding the nearest of so many names. False: it is spent.
    fn can_compare(&self, names: usize) -> bool {
        const NAME_STEPS: usize = 256;
        self.effort.spend(names.saturating_mul(NAME_STEPS))
    }

    /// The shapes of the data of all types.
    fn data(&self) -> &[Shape] {
        self.data.get_or_init(|| {
            let mut seen = HashSet::new();
            let types = self.types.iter().filter(|known| {
                seen.insert((known.spec.schema.as_ref(), known.spec.example.as_ref()))
            });
            types.map(|known| data_paths(known, &self.effort)).collect()
        })
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
        let known =
            typed && self.data().iter().any(|shape| shape.may_hold(steps.clone(), &self.effort));
        let detail = format!("the event types that this webhook takes have no `{path}`");
        (typed && !known).then(|| FieldError::new("/rule", detail))
    }

    /// The path one level up or down, in case `data` was added or left out by mistake.
    fn under_data(&self, variable: &Variable) -> Option<String> {
        let there = |steps: &[String]| {
            let found = |shape: &Shape| matches!(shape.find(steps, &self.effort), Found::There(_));
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
            if name == "*" || known.clone().any(|known| filter.accepts(known)) {
                return None;
            }
            if !self.can_compare(self.names.len()) {
                return None;
            }
            let near = match name.strip_suffix(".*") {
                None => nearest(name, known)?.to_owned(),
                Some(prefix) => format!("{}.*", nearest_prefix(prefix, known)?),
            };
            let detail = format!("the catalog has no `{name}`; did you mean `{near}`?");
            let at = FieldError::new(format!("/event_types/{number}"), detail);
            Some(FieldError { suggestion: Some(near), ..at })
        };
        spec.event_types.iter().enumerate().filter_map(odd).take(ERRORS_MAX).collect()
    }

    /// Refuses a webhook that fails to render for the examples of all types it accepts.
    pub(super) fn check_examples(&self, webhook: &Webhook) -> Result<(), Invalid> {
        // An example may lack optional fields; with `fail` an error then says nothing about the template.
        if webhook.plan.unresolved == Unresolved::Fail {
            return Ok(());
        }
        let mut errors = Vec::new();
        for known in self.examples() {
            match unrendered(webhook, known) {
                Some(error) => errors.push(error),
                None => return Ok(()),
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Invalid { code: "template_invalid", errors }) }
    }

    fn examples(&self) -> impl Iterator<Item = &Arc<CatalogType>> {
        let with = self.types.iter().filter(|known| self.complete && known.spec.example.is_some());
        with.take(EXAMPLES_MAX)
    }

    /// An error for each example that the webhook can't be rendered for.
    fn unrendered(&self, webhook: &Webhook) -> Vec<FieldError> {
        self.examples().filter_map(|known| unrendered(webhook, known)).collect()
    }
}

/// The beginning of a known type, of as many segments as `prefix` has, that was probably meant.
fn nearest_prefix<'a>(prefix: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let segments = prefix.split('.').count();
    let beginnings: HashSet<&str> = known
        .filter_map(|name| {
            let (end, _) = name.match_indices('.').nth(segments - 1)?;
            Some(&name[..end])
        })
        .collect();
    let mut beginnings: Vec<&str> = beginnings.into_iter().collect();
    beginnings.sort_unstable();
    nearest(prefix, beginnings)
}

fn unrendered(webhook: &Webhook, known: &CatalogType) -> Option<FieldError> {
    let of = format!("the example of `{}`", known.spec.name);
    cannot_render(webhook, &known.example_event(&webhook.tenant), &of)
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
            if errors.len() == ERRORS_MAX {
                return errors;
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::IntakeConfig;
    use crate::model::ProfileSpec;

    fn known(name: &str, schema: &str, example: &str) -> Arc<CatalogType> {
        let spec = format!(r#"{{"name": "{name}", "schema": {schema}, "example": {example}}}"#);
        Arc::new(CatalogType::new(serde_json::from_str(&spec).unwrap(), &IntakeConfig::default()))
    }

    #[test]
    fn types_whose_events_look_the_same_share_one_shape() {
        let standard = crate::yaml::to_json_text(include_str!("standard.yaml")).unwrap();
        let standard: ProfileSpec = serde_json::from_str(&standard).unwrap();
        let retry = standard.retry.complete().unwrap();
        let (types, headers) = (HashMap::new(), Vec::new());
        let profile = Profile { spec: standard, types, headers, test_headers: Vec::new(), retry };
        let same = (0..400).map(|n| known(&format!("a.t{n}"), r#"{"title": "x"}"#, r#"{"x": 1}"#));
        let others = [
            known("b.other", r#"{"title": "y"}"#, r#"{"x": 1}"#),
            known("b.another", r#"{"title": "x"}"#, r#"{"y": 1}"#),
        ];
        let types: Vec<_> = same.chain(others).collect();
        assert_eq!(one_of_each_shape(&types, &profile).count(), 3);
    }
}
