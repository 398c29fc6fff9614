//! The order in which resources are applied.

use std::collections::HashMap;

use super::manifest::{Content, Kind, Misread, Resource};

/// One call for a resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    pub(super) resource: &'a Resource,
    /// Only creates a missing tenant, without its intake plugins, which are uploaded into it
    /// afterwards.
    pub(super) ahead: bool,
}

/// Groups steps into phases, in order. The steps of a phase don't depend on each other.
pub(super) fn phases(resources: &[Resource]) -> Vec<Vec<Step<'_>>> {
    let mut phases: Vec<Vec<Step<'_>>> = (0..8).map(|_| Vec::new()).collect();
    for resource in resources {
        let step = Step { resource, ahead: false };
        let phase = match resource.kind {
            Kind::Profile => 0,
            Kind::Tenant if has_intake_plugins(resource) => {
                phases[1].push(Step { resource, ahead: true });
                4
            }
            Kind::Tenant => 1,
            Kind::Secret => 2,
            Kind::Plugin => 3,
            Kind::EventType => 5,
            Kind::Webhook => 6,
            Kind::Source => 7,
        };
        phases[phase].push(step);
    }
    phases.retain(|phase| !phase.is_empty());
    phases
}

fn has_intake_plugins(resource: &Resource) -> bool {
    let Content::Spec { spec, .. } = &resource.content else { return false };
    spec["intake_plugins"].as_array().is_some_and(|plugins| !plugins.is_empty())
}

/// Documents with the same kind, tenant and name as an earlier one.
pub(super) fn named_twice(resources: &[Resource]) -> Vec<Misread> {
    let mut first: HashMap<(Kind, Option<&str>, &str), &Resource> = HashMap::new();
    let mut found = Vec::new();
    for resource in resources {
        let key = (resource.kind, resource.tenant.as_deref(), resource.name.as_str());
        let Some(other) = first.get(&key) else {
            first.insert(key, resource);
            continue;
        };
        let (kind, place) = (resource.kind.as_str(), other.origin.at("/name"));
        found.push(Misread {
            file: resource.origin.file.clone(),
            line: resource.origin.line("/name"),
            number: resource.origin.number,
            detail: format!(
                "the {kind} {} is there twice, first in {place}; take one out",
                resource.name
            ),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn resources(text: &str) -> Vec<Resource> {
        let (mut resources, mut misread) = (Vec::new(), Vec::new());
        super::super::manifest::parse(
            "m.yaml",
            text,
            Path::new("."),
            "default",
            &mut resources,
            &mut misread,
        );
        assert!(misread.is_empty(), "{misread:?}");
        resources
    }

    fn names(text: &str) -> Vec<String> {
        let resources = resources(text);
        let phases = phases(&resources);
        let name = |step: &Step<'_>| {
            format!("{}{}", step.resource.name, if step.ahead { " ahead" } else { "" })
        };
        phases.iter().flatten().map(name).collect()
    }

    #[test]
    fn what_others_need_comes_first() {
        let text = "{kind: source, name: s, event_type: a}\n---\n{kind: webhook, name: w, event_types: [], url: x}\n---\n\
            {kind: event_type, name: e}\n---\n{kind: plugin, name: p, file: x}\n---\n{kind: secret, name: k, value_from: {env: X}}\n---\n\
            {kind: tenant, name: t}\n---\n{kind: profile, name: f, payload: []}\n";
        assert_eq!(names(text), ["f", "t", "k", "p", "e", "w", "s"]);
    }

    #[test]
    fn a_tenant_with_intake_plugins_is_made_before_them_and_finished_after() {
        let text = "{kind: tenant, name: t, intake_plugins: [{plugin: p}]}\n---\n{kind: plugin, name: p, tenant: t, file: x}\n";
        assert_eq!(names(text), ["t ahead", "p", "t"]);
    }

    #[test]
    fn a_name_is_there_once_for_each_tenant_and_kind() {
        let text = "{kind: tenant, name: a}\n---\n{kind: source, name: a, event_type: a}\n---\n{kind: source, name: a, tenant: b, event_type: a}\n";
        assert!(named_twice(&resources(text)).is_empty());
        let twice = named_twice(&resources(&format!("{text}---\n{{kind: tenant, name: a}}\n")));
        assert!(
            twice[0].to_string().starts_with(
                "m.yaml:7 (document 4): the tenant a is there twice, first in m.yaml:1"
            ),
            "{twice:?}"
        );
    }
}
