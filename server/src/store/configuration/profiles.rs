//! Profiles of the operator, except the built-in one.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Configuration;
use crate::model::Millis;
use crate::store::db::conn::run;
use crate::store::db::error::StoreError;
use crate::store::db::schema::profiles;

#[derive(Clone, PartialEq, Eq, Debug, Queryable, Insertable)]
#[diesel(table_name = profiles, treat_none_as_default_value = false)]
pub struct ProfileRow {
    pub name: String,
    /// A `ProfileSpec` as JSON.
    pub spec: String,
    pub created_at: Millis,
    pub updated_at: Millis,
}

impl Configuration {
    /// Creates or replaces a profile.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn put_profile(&self, row: ProfileRow) -> Result<(), StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    run!(conn, |c| diesel::insert_into(profiles::table)
                        .values(&row)
                        .on_conflict(profiles::name)
                        .do_update()
                        .set((
                            profiles::spec.eq(&row.spec),
                            profiles::updated_at.eq(row.updated_at)
                        ))
                        .execute(c))?;
                    Ok(())
                })
            })
            .await
    }

    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn delete_profile(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let count =
                        run!(conn, |c| diesel::delete(profiles::table.find(&name)).execute(c))?;
                    if count == 1 { Ok(()) } else { Err(StoreError::NotFound) }
                })
            })
            .await
    }
}
