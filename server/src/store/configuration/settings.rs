//! Single values of the database as a whole, such as the fingerprint of the key that seals its secrets.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Configuration;
use crate::store::db::conn::run;
use crate::store::db::error::StoreError;
use crate::store::db::schema::settings;

impl Configuration {
    /// # Errors
    /// `Unavailable`.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let mut lease = self.db.read().await?;
        let value = run!(lease.conn(), |c| settings::table
            .find(name)
            .select(settings::value)
            .first::<String>(c))
        .optional()?;
        lease.give_back();
        Ok(value)
    }

    /// Sets a value.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn put_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    run!(conn, |c| diesel::insert_into(settings::table)
                        .values((settings::name.eq(&name), settings::value.eq(&value)))
                        .on_conflict(settings::name)
                        .do_update()
                        .set(settings::value.eq(&value))
                        .execute(c))?;
                    Ok(())
                })
            })
            .await
    }

    /// Sets a value unless it is set already, and returns the stored one: nodes that start together all get
    /// the same.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn setting_or_put(&self, name: &str, value: &str) -> Result<String, StoreError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    run!(conn, |c| diesel::insert_into(settings::table)
                        .values((settings::name.eq(&name), settings::value.eq(&value)))
                        .on_conflict_do_nothing()
                        .execute(c))?;
                    Ok(run!(conn, |c| settings::table
                        .find(&name)
                        .select(settings::value)
                        .first::<String>(c))?)
                })
            })
            .await
    }
}
