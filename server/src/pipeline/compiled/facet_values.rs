//! Extracts facet values from events.

use std::borrow::Cow;

use antar_json::{Kind, OutOfSteps, Steps, Value};

use crate::model::FacetSpec;

/// The scalars at a facet's path, as text; an array yields those among its elements.
pub(crate) fn values<'e>(
    spec: &FacetSpec,
    document: Value<'e>,
    steps: &Steps,
) -> Result<Vec<Cow<'e, str>>, OutOfSteps> {
    Ok(scalars_at(&spec.path, document, steps)?.into_iter().flatten().collect())
}

/// The scalars at a path below `data`. An array yields an entry for each element; an element that is null, an array
/// or an object is no value, as rules have it, too.
pub(crate) fn scalars_at<'e>(
    path: &str,
    document: Value<'e>,
    steps: &Steps,
) -> Result<Vec<Option<Cow<'e, str>>>, OutOfSteps> {
    let data = document.get_within("data", steps)?;
    let found = data.map(|data| data.at_within(path, steps)).transpose()?.flatten();
    let Some(found) = found else { return Ok(Vec::new()) };
    let text = |value: Value<'e>| {
        steps.read(value.raw().len())?;
        Ok(match value.kind() {
            Kind::Null | Kind::Array | Kind::Object => None,
            _ => Some(value.as_str().unwrap_or(Cow::Borrowed(value.raw()))),
        })
    };
    match found.kind() {
        Kind::Array => found.elements().map(text).collect(),
        _ => Ok(vec![text(found)?]),
    }
}
