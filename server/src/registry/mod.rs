//! The configuration, compiled and in memory. Every change goes through here: it is checked and stored before
//! it is swapped in, so that memory matches the database. Readers never wait for a change.

mod catalog;
mod compile;
mod error;
mod examples;
mod follow_changes;
mod headers;
mod keys;
mod limits;
mod load;
mod ordering;
mod plugins;
mod profiles;
mod recompile;
mod rights;
mod secrets;
mod sources;
mod template_paths;
mod tenants;
mod turns;
mod uploads;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{OwnedRwLockReadGuard, watch};

pub use self::error::ChangeError;
pub use self::keys::new_key_text;
pub use self::rights::By;
pub use self::template_paths::check_sample;
use self::turns::compile_pool::CompilePool;
use self::turns::{Turn, Turns};
use crate::clock::Clock;
use crate::config::Config;
use crate::fault::{self, Point};
use crate::model::{ApiKey, EventType, Millis, Retry, SourceId, TenantId};
use crate::pipeline::accept::source::Source;
use crate::pipeline::client::address::AddressPolicy;
use crate::pipeline::compiled::profile::{CatalogType, Profile};
use crate::pipeline::compiled::tenant::Tenant;
use crate::plugin::Host;
use crate::seal::Sealer;
use crate::store::Store;

/// The name of the built-in profile.
pub const STANDARD: &str = "standard";

/// The configuration of all tenants.
pub struct Registry {
    config: Arc<Config>,
    clock: Clock,
    store: Store,
    sealer: Sealer,
    host: Arc<Host>,
    policy: AddressPolicy,
    tenants: RwLock<BTreeMap<TenantId, Arc<Tenant>>>,
    profiles: RwLock<BTreeMap<String, Arc<Profile>>>,
    /// Retry policy used when neither a webhook nor its profile sets one.
    standard_retry: Retry,
    /// The operator's catalog, in addition to those of profiles and tenants.
    event_types: RwLock<BTreeMap<EventType, Arc<CatalogType>>>,
    sources: RwLock<HashMap<SourceId, Arc<Source>>>,
    /// By the SHA-256 of the key's text.
    keys: RwLock<HashMap<[u8; 32], Arc<ApiKey>>>,
    /// Changes when a key or a tenant may be gone.
    rights: watch::Sender<()>,
    /// Tenants whose data is being deleted. They are not in memory, and may not come back meanwhile.
    erasing: Mutex<BTreeSet<TenantId>>,
    /// One change of a tenant at a time: checks see the result of earlier changes.
    turns: Turns,
    /// One change of the operator at a time.
    operator: tokio::sync::Mutex<()>,
    /// Held for reading while a change of a tenant is stored and swapped in, for writing while a profile is:
    /// what a tenant stores names profiles that exist.
    profile_uses: Arc<tokio::sync::RwLock<()>>,
    /// Held for reading while a key is stored and swapped in, for writing while all keys are read.
    key_changes: tokio::sync::RwLock<()>,
    compiler: Arc<CompilePool>,
}

/// A change of a tenant under way: what is checked now is true until the change is stored.
struct Change {
    _turn: Turn,
    _profile_uses: OwnedRwLockReadGuard<()>,
}

/// How often a change is prepared again because something that it names changed meanwhile.
const ROUNDS_MAX: usize = 5;

impl Registry {
    #[must_use]
    pub fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.tenants.read().get(id).cloned()
    }

    /// All tenants by id.
    #[must_use]
    pub fn tenants(&self) -> Vec<Arc<Tenant>> {
        self.tenants.read().values().cloned().collect()
    }

    #[must_use]
    pub fn profile(&self, name: &str) -> Option<Arc<Profile>> {
        self.profiles.read().get(name).cloned()
    }

    /// All profiles by name, the built-in one included.
    #[must_use]
    pub fn profiles(&self) -> Vec<Arc<Profile>> {
        self.profiles.read().values().cloned().collect()
    }

    /// The operator's own catalog entries, by name.
    #[must_use]
    pub fn event_types(&self) -> Vec<Arc<CatalogType>> {
        self.event_types.read().values().cloned().collect()
    }

    #[must_use]
    pub fn source(&self, id: SourceId) -> Option<Arc<Source>> {
        self.sources.read().get(&id).cloned()
    }

    /// The sources of a tenant, oldest first.
    #[must_use]
    pub fn sources(&self, tenant: &TenantId) -> Vec<Arc<Source>> {
        let sources = self.sources.read();
        let mut found: Vec<_> = sources.values().filter(|s| s.tenant == *tenant).cloned().collect();
        found.sort_unstable_by_key(|source| source.id);
        found
    }

    /// Source and secret in a path that matches a profile's path for incoming calls.
    #[must_use]
    pub fn match_incoming(&self, path: &str) -> Option<(String, String)> {
        let profiles = self.profiles.read();
        let mut patterns =
            profiles.values().filter_map(|p| p.spec.incoming.as_ref()?.path.as_ref());
        patterns.find_map(|pattern| match_path(pattern, path))
    }

    /// Begins a change in a tenant, if it still exists. Everything that takes long comes before this.
    async fn change_in(&self, tenant: &Arc<Tenant>) -> Result<Change, ChangeError> {
        let max = self.config.tenant.changes_waiting_max;
        let turn = self.turns.of_few(&tenant.id, max).await?;
        self.begin(turn, tenant).await
    }

    /// As [`Registry::change_in`], for changes by the server itself: they wait however many others do.
    async fn own_change_in(&self, tenant: &Arc<Tenant>) -> Result<Change, ChangeError> {
        let turn = self.turns.of(&tenant.id).await;
        self.begin(turn, tenant).await
    }

    async fn begin(&self, turn: Turn, tenant: &Arc<Tenant>) -> Result<Change, ChangeError> {
        if !self.tenant_stands(tenant) {
            return Err(ChangeError::NotFound("tenant"));
        }
        Ok(self.change_with(turn).await)
    }

    async fn change_with(&self, turn: Turn) -> Change {
        let profile_uses = self.profile_uses.clone().read_owned().await;
        fault::pass(Point::ChangeStore).await;
        Change { _turn: turn, _profile_uses: profile_uses }
    }

    fn now(&self) -> Millis {
        self.clock.now()
    }
}

/// `{source}` and `{secret}` of `pattern` in `path`, segment by segment.
fn match_path(pattern: &str, path: &str) -> Option<(String, String)> {
    let (mut source, mut secret) = (None, None);
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let segment = segments.next()?;
        match expected {
            "{source}" => source = Some(segment.to_owned()),
            "{secret}" => secret = Some(segment.to_owned()),
            literal if literal == segment => {}
            _ => return None,
        }
    }
    match segments.next() {
        None => Some((source?, secret?)),
        Some(_) => None,
    }
}

/// Runs a change to its end even if the caller gives up, because a client may hang up at any time: otherwise
/// the change could be stored and not swapped in.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, ChangeError>> + Send + 'static,
) -> Result<T, ChangeError> {
    tokio::spawn(change).await.map_err(ChangeError::broke)?
}

/// The answer to a change for which something new turned up in every round.
fn never_settled() -> ChangeError {
    ChangeError::Busy("what this names is being changed all the time; try again".to_owned())
}

/// A spec serialized for the database.
fn stored(spec: &impl serde::Serialize) -> Result<String, ChangeError> {
    serde_json::to_string(spec)
        .map_err(|e| ChangeError::Conflict(format!("it can't be stored: {e}")))
}

#[cfg(test)]
mod tests {
    use super::match_path;

    #[test]
    fn incoming_paths() {
        let pattern = "/api/hooks/{source}/{secret}";
        assert_eq!(match_path(pattern, "/api/hooks/a/b"), Some(("a".to_owned(), "b".to_owned())));
        for other in ["/api/hooks/a", "/api/hooks/a/b/c", "/api/other/a/b", ""] {
            assert_eq!(match_path(pattern, other), None, "{other}");
        }
    }
}
