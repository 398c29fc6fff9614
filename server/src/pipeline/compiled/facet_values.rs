//! Extracts facet values from events.

use std::borrow::Cow;

use antar_json::{Kind, OutOfSteps, Steps, Value};

use crate::model::FacetSpec;

/// The scalars at a facet's path, as text; an array yields its elements.
pub(crate) fn values<'e>(
    spec: &FacetSpec,
    document: Value<'e>,
    steps: &Steps,
) -> Result<Vec<Cow<'e, str>>, OutOfSteps> {
    scalars_at(&spec.path, document, steps)
}

/// The scalars at a path below `data`.
pub(crate) fn scalars_at<'e>(
    path: &str,
    document: Value<'e>,
    steps: &Steps,
) -> Result<Vec<Cow<'e, str>>, OutOfSteps> {
    let data = document.get_within("data", steps)?;
    let found = data.map(|data| data.at_within(path, steps)).transpose()?.flatten();
    let Some(found) = found else { return Ok(Vec::new()) };
    let text = |value: Value<'e>| {
        steps.read(value.raw().len())?;
        Ok(value.as_str().unwrap_or(Cow::Borrowed(value.raw())))
    };
    match found.kind() {
        Kind::Array => found.elements().map(text).collect(),
        Kind::Null => Ok(Vec::new()),
        _ => Ok(vec![text(found)?]),
    }
}
