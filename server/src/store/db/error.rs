//! What can go wrong, by what the caller does about it.

use std::sync::Arc;

use diesel::result::{DatabaseErrorKind, Error};

use crate::fault::Injected;

/// Why the store did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another one of the tenant has this name. Nothing was written.
    #[error("the name is taken")]
    NameTaken,
    #[error("not found")]
    NotFound,
    /// It stands differently than the caller thought; the text says how.
    #[error("{0}")]
    Conflict(String),
    /// The cursor of a list is none that the list gave out.
    #[error("the cursor is none of this list")]
    BadCursor,
    /// The queue before the disk is full. Nothing was written; try again in a moment.
    #[error("too much waits to be written; try again")]
    Busy,
    /// The database is away, full or locked. Nothing of the call is durable, unless the connection
    /// broke during the commit itself: then it may be, and the call can be repeated.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// A stored value does not parse: not from this program, or from a newer one.
    #[error("stored data does not parse: {0}")]
    Corrupt(String),
    /// The settings or the migrations do not fit this database.
    #[error("{0}")]
    Setup(String),
}

impl StoreError {
    /// True when the connection it happened on can go on: the database did as it was told.
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
