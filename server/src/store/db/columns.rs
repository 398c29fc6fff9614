//! Conversions between types of the model and database columns.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{BigInt, Binary, Text};

use super::error::StoreError;
use crate::model::{
    DeliveryId, EventId, EventType, Millis, PluginName, RejectionId, ReplayId, ReplayState,
    SecretName, SourceId, State, TenantId, WebhookId,
};

/// Text columns; the type checks the form of what is read.
macro_rules! text_column {
    ($($name:ident as $column:ident),*) => {$(
        #[derive(AsExpression, FromSqlRow)]
        #[diesel(foreign_derive)]
        #[diesel(sql_type = Text)]
        #[expect(unused, reason = "carries the derive to a type of the model")]
        struct $column($name);

        impl<DB: Backend> ToSql<Text, DB> for $name
        where
            str: ToSql<Text, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                self.as_str().to_sql(out)
            }
        }

        impl<DB: Backend> FromSql<Text, DB> for $name
        where
            String: FromSql<Text, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<$name> {
                Ok(String::from_sql(bytes)?.parse()?)
            }
        }
    )*};
}

text_column!(
    TenantId as TenantIdColumn,
    EventId as EventIdColumn,
    EventType as EventTypeColumn,
    SecretName as SecretNameColumn,
    PluginName as PluginNameColumn,
    State as StateColumn,
    ReplayState as ReplayStateColumn
);

/// Binary columns with the 16 bytes of a UUID.
macro_rules! uuid_column {
    ($($name:ident as $column:ident),*) => {$(
        #[derive(AsExpression, FromSqlRow)]
        #[diesel(foreign_derive)]
        #[diesel(sql_type = Binary)]
        #[expect(unused, reason = "carries the derive to a type of the model")]
        struct $column($name);

        impl<DB: Backend> ToSql<Binary, DB> for $name
        where
            [u8]: ToSql<Binary, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                self.0.as_bytes().as_slice().to_sql(out)
            }
        }

        impl<DB: Backend> FromSql<Binary, DB> for $name
        where
            Vec<u8>: FromSql<Binary, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<$name> {
                Ok($name(uuid::Uuid::from_slice(&Vec::<u8>::from_sql(bytes)?)?))
            }
        }
    )*};
}

uuid_column!(
    WebhookId as WebhookIdColumn,
    DeliveryId as DeliveryIdColumn,
    SourceId as SourceIdColumn,
    ReplayId as ReplayIdColumn,
    RejectionId as RejectionIdColumn
);

#[derive(AsExpression, FromSqlRow)]
#[diesel(foreign_derive)]
#[diesel(sql_type = BigInt)]
#[expect(unused, reason = "carries the derive to a type of the model")]
struct MillisColumn(Millis);

impl<DB: Backend> ToSql<BigInt, DB> for Millis
where
    i64: ToSql<BigInt, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        self.0.to_sql(out)
    }
}

impl<DB: Backend> FromSql<BigInt, DB> for Millis
where
    i64: FromSql<BigInt, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Millis> {
        Ok(Millis(i64::from_sql(bytes)?))
    }
}

/// A count read from a column; values out of range become 0 or `u32::MAX`.
pub(crate) fn count_of(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

/// Value of a tenant column; `''` for rows of the operator.
pub(crate) fn tenant_text(tenant: Option<&TenantId>) -> &str {
    tenant.map_or("", TenantId::as_str)
}

pub(crate) fn tenant_of(text: String) -> Result<Option<TenantId>, StoreError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.try_into().map(Some).map_err(StoreError::Corrupt)
}

/// Replaces U+0000, which PostgreSQL rejects in text, by U+FFFD; the same on both databases.
pub(crate) fn storable(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// A value as the text of a JSON column.
pub(crate) fn json_text(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// The value of a JSON column.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt(e.to_string()))
}
