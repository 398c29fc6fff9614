//! Validates events against their type's schema.

use crate::model::{Event, Invalid, SchemaMode};
use crate::pipeline::compiled::tenant::Tenant;

/// Marks an event that violates its type's schema, or rejects it if the type's `schema_mode` is `reject`.
pub(crate) fn check_schema(tenant: &Tenant, event: &mut Event) -> Result<(), Invalid> {
    let known = tenant.read(|state| state.catalog_type(&event.event_type).cloned());
    let Some(known) = known else { return Ok(()) };
    let Some(miss) = known.miss(event.data()) else { return Ok(()) };
    if known.spec.schema_mode == SchemaMode::Reject {
        let mut invalid = Invalid::at(format!("/data{}", miss.pointer), miss.detail);
        invalid.code = miss.code;
        return Err(invalid);
    }
    event.schema_ok = false;
    Ok(())
}
