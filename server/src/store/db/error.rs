//! Errors of the store, grouped by how the caller handles them.

use std::sync::Arc;

use diesel::result::{DatabaseErrorKind, Error};

use crate::fault::Injected;

/// Why a call to the store failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The tenant already has an object with this name. Nothing was written.
    #[error("the name is taken")]
    NameTaken,
    #[error("not found")]
    NotFound,
    /// The stored state is not the one that the call requires; the text describes it.
    #[error("{0}")]
    Conflict(String),
    /// The cursor was not issued by this list.
    #[error("the cursor is none of this list")]
    BadCursor,
    /// The writer's queue is full. Nothing was written; try again in a moment.
    #[error("too much waits to be written; try again")]
    Busy,
    /// The database is unreachable, full or locked. Nothing of the call is durable, unless the connection
    /// broke during the commit itself: then it may be, and the call can be repeated.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// A stored value does not parse: another program or a newer version wrote it.
    #[error("stored data does not parse: {0}")]
    Corrupt(String),
    /// The settings or the migrations do not fit this database.
    #[error("{0}")]
    Setup(String),
}

impl StoreError {
    /// True when the database has answered normally, so that the connection remains usable.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(
            self,
            StoreError::NameTaken
                | StoreError::NotFound
                | StoreError::Conflict(_)
                | StoreError::BadCursor
                | StoreError::Busy
        )
    }

    pub(crate) fn unavailable(
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Unavailable(Arc::from(error.into()))
    }

    pub(crate) fn closed() -> StoreError {
        StoreError::unavailable("the store is closed")
    }
}

impl From<Injected> for StoreError {
    fn from(error: Injected) -> StoreError {
        StoreError::unavailable(error)
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        match error {
            Error::NotFound => StoreError::NotFound,
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => StoreError::NameTaken,
            Error::DeserializationError(error) => StoreError::Corrupt(error.to_string()),
            error => StoreError::unavailable(error),
        }
    }
}
