//! Validates events against their type's schema.

use antar_json::{OutOfSteps, Steps};

use crate::model::{Event, Invalid, SchemaMode};
use crate::pipeline::compiled::tenant::Tenant;

/// Whether an event follows its type's schema. One that does not is refused if the type's `schema_mode` is
/// `reject`.
///
/// # Errors
/// [`OutOfSteps`]: it is not known.
pub(super) fn follows_schema(
    tenant: &Tenant,
    event: &Event,
    steps: &Steps,
) -> Result<Result<bool, Invalid>, OutOfSteps> {
    let known = tenant.read(|state| state.catalog_type(&event.event_type).cloned());
    let Some(known) = known else { return Ok(Ok(true)) };
    let Some(miss) = known.miss_within(event.data(), steps)? else { return Ok(Ok(true)) };
    if known.spec.schema_mode == SchemaMode::Reject {
        let mut invalid = Invalid::at(format!("/data{}", miss.pointer), miss.detail);
        invalid.code = miss.code;
        return Ok(Err(invalid));
    }
    Ok(Ok(false))
}
