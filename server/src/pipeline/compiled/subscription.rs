//! A webhook's subscription: event types, facets and a rule as one decision, with a reason for a mismatch.

use std::collections::HashSet;

use antar_json::{Builder, Document, Kind, OutOfSteps, Steps, Value};
use antar_rules::{Mismatch, Pattern, cut};
use serde::Serialize;

use super::facet_values::values;
use crate::model::{FacetFilter, FacetSpec, TypeFilter};

/// The three parts of a subscription. An event must satisfy all of them.
#[derive(Clone)]
pub struct Subscription {
    event_types: Vec<TypeFilter>,
    facets: Vec<Facet>,
    rule: Pattern,
}

#[derive(Clone)]
struct Facet {
    spec: FacetSpec,
    filter: FacetFilter,
    /// The values of the filter.
    named: HashSet<String>,
}

/// Why an event does not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WhyNot {
    /// `event_types`, `facets` or `rule`.
    pub part: &'static str,
    /// A sentence.
    pub reason: String,
    /// The path that decided, from the rule document's root.
    pub path: String,
    /// The condition there, as JSON text.
    pub wanted: String,
    /// The value found there, as JSON text; null if there is none.
    pub found: Option<String>,
}

impl Subscription {
    #[must_use]
    pub fn new(
        event_types: Vec<TypeFilter>,
        facets: Vec<(FacetSpec, FacetFilter)>,
        rule: Pattern,
    ) -> Subscription {
        let facets = facets.into_iter().map(|(spec, filter)| Facet::new(spec, filter)).collect();
        Subscription { event_types, facets, rule }
    }

    /// A pattern that matches all events of the subscription, and maybe more, for the index to narrow by.
    #[must_use]
    pub fn pattern(&self) -> Pattern {
        let facets = self.facets.iter().filter_map(Facet::pattern);
        Pattern::all_of([self.types_pattern(), self.rule.clone()].into_iter().chain(facets))
    }

    fn types_pattern(&self) -> Pattern {
        if self.event_types.iter().any(|filter| filter.as_str() == "*") {
            return Pattern::match_all();
        }
        let conditions =
            self.event_types.iter().map(|filter| match filter.as_str().strip_suffix('*') {
                Some(prefix) => serde_json::json!({"prefix": prefix}),
                None => filter.as_str().into(),
            });
        pattern(&serde_json::json!({"type": conditions.collect::<serde_json::Value>()}))
    }

    /// Whether it wants the event.
    ///
    /// # Errors
    /// [`OutOfSteps`]: it is not known.
    pub fn accept(
        &self,
        event_type: &str,
        document: Value<'_>,
        steps: &Steps,
    ) -> Result<bool, OutOfSteps> {
        if !self.accepts_type(event_type) {
            return Ok(false);
        }
        for facet in &self.facets {
            if !facet.accepts(event_type, document, steps)? {
                return Ok(false);
            }
        }
        self.rule.matches_within(document, steps)
    }

    pub(crate) fn accepts_type(&self, event_type: &str) -> bool {
        self.filter_for(event_type).is_some()
    }

    /// The dotted paths that the rule reads.
    pub fn rule_paths(&self) -> impl Iterator<Item = &str> {
        self.rule.paths()
    }

    /// The first type filter that accepts this type.
    #[must_use]
    pub fn filter_for(&self, event_type: &str) -> Option<&TypeFilter> {
        self.event_types.iter().find(|filter| filter.accepts(event_type))
    }

    /// None if the event matches.
    ///
    /// # Errors
    /// [`OutOfSteps`]: it is not known whether it does.
    pub fn why_not(
        &self,
        event_type: &str,
        document: Value<'_>,
        steps: &Steps,
    ) -> Result<Option<WhyNot>, OutOfSteps> {
        if !self.accepts_type(event_type) {
            let wanted = serde_json::json!(self.event_types).to_string();
            return Ok(Some(WhyNot {
                part: "event_types",
                reason: format!("not subscribed to `{event_type}`; it subscribes to {wanted}"),
                path: "type".to_owned(),
                wanted,
                found: Some(antar_json::quote(event_type)),
            }));
        }
        for facet in &self.facets {
            if !facet.accepts(event_type, document, steps)? {
                return facet.why_not(document, steps).map(Some);
            }
        }
        let Some(mismatch) = self.rule.explain_within(document, steps)? else { return Ok(None) };
        let reason = mismatch.to_string();
        let Mismatch { path, condition, found, .. } = mismatch;
        Ok(Some(WhyNot { part: "rule", reason, path, wanted: condition, found }))
    }
}

impl Facet {
    fn new(spec: FacetSpec, filter: FacetFilter) -> Facet {
        let (FacetFilter::Any(values)
        | FacetFilter::None { none: values }
        | FacetFilter::All { all: values }) = &filter;
        let named = values.iter().cloned().collect();
        Facet { spec, filter, named }
    }

    fn constrains(&self, event_type: &str) -> bool {
        let types = &self.spec.event_types;
        types.is_empty() || types.iter().any(|filter| filter.accepts(event_type))
    }

    fn accepts(
        &self,
        event_type: &str,
        document: Value<'_>,
        steps: &Steps,
    ) -> Result<bool, OutOfSteps> {
        if !self.constrains(event_type) {
            return Ok(true);
        }
        let found = values(&self.spec, document, steps)?;
        let mut hits = found.iter().filter(|value| self.named.contains(value.as_ref()));
        Ok(match &self.filter {
            FacetFilter::Any(_) => self.named.is_empty() || hits.next().is_some(),
            FacetFilter::None { .. } => hits.next().is_none(),
            FacetFilter::All { .. } => hits.collect::<HashSet<_>>().len() == self.named.len(),
        })
    }

    /// Exact values to narrow by, only if the facet constrains every type: otherwise an event without
    /// the value may still match.
    fn pattern(&self) -> Option<Pattern> {
        let values = match &self.filter {
            FacetFilter::Any(any) => any.as_slice(),
            FacetFilter::All { all } => all.get(..1)?,
            FacetFilter::None { .. } => return None,
        };
        if values.is_empty() || !self.spec.event_types.is_empty() {
            return None;
        }
        // The event may contain a value as a string, or as a number or boolean with that text.
        let mut list = Builder::new();
        list.object().key(&format!("data.{}", self.spec.path)).array();
        for value in values {
            list.string(value);
            let scalar = value.parse::<Document>().ok();
            let scalar = scalar.filter(|v| matches!(v.root().kind(), Kind::Number | Kind::Bool));
            if let Some(scalar) = scalar {
                list.copy(scalar.root());
            }
        }
        Some(Pattern::parse(list.finish().root()).unwrap_or_else(|_| Pattern::match_all()))
    }

    fn why_not(&self, document: Value<'_>, steps: &Steps) -> Result<WhyNot, OutOfSteps> {
        let found = values(&self.spec, document, steps)?;
        let wanted = serde_json::json!(self.filter).to_string();
        let texts = cut(&serde_json::json!(found).to_string(), SHOWN_BYTES_MAX);
        let was = match found.as_slice() {
            [] => "it is missing".to_owned(),
            [one] => format!("it was {}", cut(&antar_json::quote(one), SHOWN_BYTES_MAX)),
            _ => format!("it was {texts}"),
        };
        let path = format!("data.{}", self.spec.path);
        Ok(WhyNot {
            part: "facets",
            reason: format!("the facet `{}` wants `{path}` to be {wanted}; {was}", self.spec.name),
            path,
            wanted,
            found: (!found.is_empty()).then_some(texts),
        })
    }
}

/// Bytes of the values at a facet's path that are shown at most: an event may have thousands.
const SHOWN_BYTES_MAX: usize = 500;

/// Parses a generated pattern. One that the engine refuses narrows nothing.
fn pattern(json: &serde_json::Value) -> Pattern {
    Pattern::parse(Document::from(json).root()).unwrap_or_else(|_| Pattern::match_all())
}
