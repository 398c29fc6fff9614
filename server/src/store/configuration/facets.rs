//! Known facet values, supplied by the host or learned from events.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Configuration;
use crate::model::{Millis, TenantId};
use crate::store::db::conn::{each, run};
use crate::store::db::error::StoreError;
use crate::store::db::schema::facet_values;

#[derive(Clone, PartialEq, Eq, Debug, Queryable, Insertable)]
#[diesel(table_name = facet_values, treat_none_as_default_value = false)]
pub struct FacetValueRow {
    pub tenant: TenantId,
    pub facet: String,
    pub value: String,
    /// Display text; none: the value.
    pub label: Option<String>,
    pub updated_at: Millis,
}

impl Configuration {
    /// Replaces all known values of a facet with `rows`, which carry this tenant and facet.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn put_facet_values(
        &self,
        tenant: &TenantId,
        facet: &str,
        rows: Vec<FacetValueRow>,
    ) -> Result<(), StoreError> {
        let (tenant, facet) = (tenant.clone(), facet.to_owned());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    run!(conn, |c| diesel::delete(
                        facet_values::table
                            .filter(facet_values::tenant.eq(&tenant))
                            .filter(facet_values::facet.eq(&facet))
                    )
                    .execute(c))?;
                    each!(conn, &rows, |row, c| diesel::insert_into(facet_values::table)
                        .values(row)
                        .on_conflict_do_nothing()
                        .execute(c))?;
                    Ok(())
                })
            })
            .await
    }

    /// Adds values seen in events; known values stay unchanged.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn add_facet_values(&self, rows: Vec<FacetValueRow>) -> Result<(), StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    each!(conn, &rows, |row, c| diesel::insert_into(facet_values::table)
                        .values(row)
                        .on_conflict_do_nothing()
                        .execute(c))?;
                    Ok(())
                })
            })
            .await
    }
}
