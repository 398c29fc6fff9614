//! Errors of configuration changes.

use crate::model::Invalid;
use crate::plugin::UploadError;
use crate::seal::NoRandomness;
use crate::store::StoreError;

/// Why a change was refused or failed; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A `webhook`, `source`, … of the tenant already has this name.
    #[error("there is another {0} of this name in the tenant; choose another name")]
    NameTaken(&'static str),
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("{0}")]
    Conflict(String),
    /// A tenant's own key may not change this.
    #[error("{0}")]
    OperatorOnly(String),
    /// Too much is under way; nothing is wrong with the change.
    #[error("{0}")]
    Busy(String),
    /// A task ended in a panic.
    #[error("{0}")]
    Broke(String),
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error(transparent)]
    Store(StoreError),
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

impl ChangeError {
    pub(crate) fn broke(error: impl std::fmt::Display) -> ChangeError {
        ChangeError::Broke(error.to_string())
    }

    /// Converts an error of the store about a `thing`.
    pub(crate) fn of(thing: &'static str) -> impl Fn(StoreError) -> ChangeError {
        move |error| match error {
            StoreError::NameTaken => ChangeError::NameTaken(thing),
            StoreError::NotFound => ChangeError::NotFound(thing),
            StoreError::Conflict(detail) => ChangeError::Conflict(detail),
            error => ChangeError::Store(error),
        }
    }
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> ChangeError {
        ChangeError::of("resource")(error)
    }
}

/// The first names of a list that may be long, for messages.
pub(super) fn some_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN_MAX: usize = 50;
    let mut names: Vec<_> = names.take(SHOWN_MAX + 1).collect();
    if names.len() > SHOWN_MAX {
        names[SHOWN_MAX] = "…";
    }
    format!("{names:?}")
}
