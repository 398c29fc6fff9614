//! Authentication by API key, and authorization of requests.
//!
//! A handler declares the access it needs by the type of an argument: [`Access`] for a tenant's
//! resources, [`Operator`] for resources outside of tenants, [`Caller`] for what every key may see. It stands
//! before the body, so that nothing is read of the body of a caller who is refused. Everything needed is in
//! memory: an unknown key costs one digest.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::watch;
use uuid::Uuid;

use super::client_address::Network;
use super::error::{Code, Problem};
use super::holder::Holder;
use crate::app::App;
use crate::model::{ApiKey, Scope, TenantId};
use crate::pipeline::compiled::tenant::Tenant;

/// On whose account a request's body is received.
#[derive(Clone)]
pub(crate) enum Account {
    /// That of no tenant.
    Operator,
    Tenant(TenantId),
    /// A tenant's, for a caller that has the URL of a source, but no key.
    Source(TenantId, Network),
}

impl Account {
    /// Leaves the account with a request that has a body.
    pub(crate) fn leave(self, req: &HttpRequest, payload: &Payload) {
        if !matches!(payload, Payload::None) {
            req.extensions_mut().insert(self);
        }
    }

    pub(crate) fn owners(&self) -> Arc<[Holder]> {
        match self {
            Account::Operator => Arc::new([]),
            Account::Tenant(tenant) => [Holder::Tenant(tenant.clone())].into(),
            Account::Source(tenant, network) => {
                [Holder::Tenant(tenant.clone()), Holder::Address(*network)].into()
            }
        }
    }
}

/// A scope as a type.
pub(crate) trait Needs: 'static {
    const SCOPE: Scope;
}

pub(crate) struct Publish;
pub(crate) struct Read;
pub(crate) struct Manage;

impl Needs for Publish {
    const SCOPE: Scope = Scope::Publish;
}

impl Needs for Read {
    const SCOPE: Scope = Scope::Read;
}

impl Needs for Manage {
    const SCOPE: Scope = Scope::Manage;
}

/// A request on the tenant in its path, by a key that is authorized for it.
pub(crate) struct Access<N> {
    pub(crate) app: web::Data<App>,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) key: Arc<ApiKey>,
    needs: PhantomData<N>,
}

/// A request by an operator key.
pub(crate) struct Operator<N> {
    pub(crate) app: web::Data<App>,
    needs: PhantomData<N>,
}

/// A request by any key.
pub(crate) struct Caller<N> {
    pub(crate) app: web::Data<App>,
    pub(crate) key: Arc<ApiKey>,
    needs: PhantomData<N>,
}

/// Whether a key has a scope. `manage` includes the others; an operator key without scopes may do
/// everything.
#[must_use]
pub(super) fn may(key: &ApiKey, scope: Scope) -> bool {
    let all = key.tenant.is_none() && key.scopes.is_empty();
    all || key.scopes.contains(&scope) || key.scopes.contains(&Scope::Manage)
}

/// Whether a key has access to a tenant at all. Without access, the tenant is reported as not
/// found.
#[must_use]
pub(crate) fn reaches(key: &ApiKey, tenant: &TenantId) -> bool {
    key.tenant.as_ref().is_none_or(|own| own == tenant)
}

impl<N: Needs> Caller<N> {
    fn of(req: &HttpRequest) -> Result<Caller<N>, Problem> {
        let (app, key) = identify(req)?;
        reached(req, &key)?;
        check_scope::<N>(&key)?;
        Ok(Caller { app, key, needs: PhantomData })
    }
}

/// Whether the key of a call to the API still reaches what it calls: for a body that took its time. Calls to
/// incoming URLs have no key of ours.
pub(super) fn still_stands(req: &HttpRequest) -> Result<(), Problem> {
    if req.path().starts_with("/v1/") {
        let (_, key) = identify(req)?;
        reached(req, &key)?;
    }
    Ok(())
}

/// The owner of the request's key: none if it has no valid one, or the operator's.
pub(super) fn owner_of_key(req: &HttpRequest) -> Option<TenantId> {
    identify(req).ok().and_then(|(_, key)| key.tenant.clone())
}

fn identify(req: &HttpRequest) -> Result<(web::Data<App>, Arc<ApiKey>), Problem> {
    let app = req.app_data::<web::Data<App>>().cloned();
    let app = app.ok_or_else(|| Problem::internal("the server was built without its state"))?;
    let key = known_key(&app, req.headers())?;
    Ok((app, key))
}

/// Longest `Authorization` that is looked at; keys are much shorter.
const AUTHORIZATION_BYTES_MAX: usize = 1_024;

/// The key of a request, if it exists.
pub(crate) fn known_key(app: &App, headers: &HeaderMap) -> Result<Arc<ApiKey>, Problem> {
    let Some(header) = headers.get(AUTHORIZATION) else {
        return Err(Problem::new(
            Code::Unauthorized,
            "the call has no key; send `Authorization: Bearer antar_…`",
        ));
    };
    let header = header.to_str().ok().filter(|text| text.len() <= AUTHORIZATION_BYTES_MAX);
    let key = header.and_then(key_text).and_then(|text| app.registry.key(&text));
    key.ok_or_else(|| Problem::new(Code::Unauthorized, "there is no such key"))
}

/// The token of `Bearer TOKEN`, or the password of `Basic …`, which a browser can send. The scheme
/// is case-insensitive (RFC 9110 §11.1).
fn key_text(header: &str) -> Option<String> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(token.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(token).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

fn check_scope<N: Needs>(key: &ApiKey) -> Result<(), Problem> {
    if may(key, N::SCOPE) {
        return Ok(());
    }
    let scope = match N::SCOPE {
        Scope::Publish => "publish",
        Scope::Read => "read",
        Scope::Manage => "manage",
    };
    Err(Problem::new(Code::ScopeMissing, format!("this call needs a key with the scope `{scope}`")))
}

/// The tenant in the path, if there is one that the key reaches. Any other is reported as not found, before
/// anything else about the call.
fn reached(req: &HttpRequest, key: &ApiKey) -> Result<Option<TenantId>, Problem> {
    let Some(id) = req.match_info().get("tenant") else { return Ok(None) };
    let id = super::path::decoded(id).parse().ok().filter(|id| reaches(key, id));
    id.map(Some).ok_or_else(|| Problem::not_found("tenant"))
}

fn access<N: Needs>(req: &HttpRequest) -> Result<Access<N>, Problem> {
    let (app, key) = identify(req)?;
    let tenant = reached(req, &key)?.and_then(|id| app.registry.tenant(&id));
    let tenant = tenant.ok_or_else(|| Problem::not_found("tenant"))?;
    check_scope::<N>(&key)?;
    Ok(Access { app, tenant, key, needs: PhantomData })
}

fn operator<N: Needs>(req: &HttpRequest) -> Result<Operator<N>, Problem> {
    let (app, key) = identify(req)?;
    reached(req, &key)?;
    if key.tenant.is_some() {
        return Err(Problem::new(Code::OperatorOnly, "this key belongs to a tenant"));
    }
    check_scope::<N>(&key)?;
    Ok(Operator { app, needs: PhantomData })
}

/// Whether the right to an answer that goes on for long still stands.
pub(crate) struct Standing {
    app: web::Data<App>,
    key: Arc<ApiKey>,
    /// Not the tenant itself: its erasure waits until nobody has it.
    tenant: (TenantId, Uuid),
    changes: watch::Receiver<()>,
}

impl<N> Access<N> {
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            app: self.app.clone(),
            key: self.key.clone(),
            tenant: (self.tenant.id.clone(), self.tenant.generation),
            changes: self.app.registry.rights(),
        }
    }
}

impl Standing {
    /// Waits until the key or the tenant is gone, and says so. Cancel safe.
    pub(crate) async fn ended(&mut self) -> &'static str {
        loop {
            self.changes.borrow_and_update();
            let registry = &self.app.registry;
            let (id, generation) = &self.tenant;
            if registry.tenant(id).is_none_or(|tenant| tenant.generation != *generation) {
                return "the tenant was deleted";
            }
            if !registry.key_stands(&self.key) {
                return "the key was deleted";
            }
            if self.changes.changed().await.is_err() {
                return "the server stops";
            }
        }
    }
}

impl<N: Needs> FromRequest for Access<N> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let access = access(req);
        if let Ok(access) = &access {
            Account::Tenant(access.tenant.id.clone()).leave(req, payload);
        }
        ready(access)
    }
}

impl<N: Needs> FromRequest for Operator<N> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let operator = operator(req);
        if operator.is_ok() {
            Account::Operator.leave(req, payload);
        }
        ready(operator)
    }
}

impl<N: Needs> FromRequest for Caller<N> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = Caller::of(req);
        if let Ok(Caller { key, .. }) = &caller {
            let account = key.tenant.clone().map_or(Account::Operator, Account::Tenant);
            account.leave(req, payload);
        }
        ready(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;

    fn key(tenant: Option<&str>, scopes: &[Scope]) -> ApiKey {
        ApiKey {
            id: uuid::Uuid::nil(),
            name: String::new(),
            tenant: tenant.map(|id| id.parse().unwrap()),
            scopes: scopes.to_vec(),
            hash: [0; 32],
            created_at: Millis(0),
        }
    }

    #[test]
    fn the_table_of_scopes() {
        use Scope::{Manage, Publish, Read};
        for (scopes, allowed) in [
            (vec![], vec![]),
            (vec![Publish], vec![Publish]),
            (vec![Read], vec![Read]),
            (vec![Publish, Read], vec![Publish, Read]),
            (vec![Manage], vec![Publish, Read, Manage]),
        ] {
            let key = key(Some("a"), &scopes);
            let found: Vec<_> =
                [Publish, Read, Manage].into_iter().filter(|s| may(&key, *s)).collect();
            assert_eq!(found, allowed, "{scopes:?}");
        }
    }

    #[test]
    fn the_operator_may_everything_unless_its_key_says_otherwise() {
        assert!(may(&key(None, &[]), Scope::Manage));
        assert!(!may(&key(None, &[Scope::Read]), Scope::Manage));
        assert!(!may(&key(Some("a"), &[]), Scope::Read));
    }

    #[test]
    fn a_tenants_key_reaches_its_own_tenant() {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert!(reaches(&key(Some("a"), &[]), &a));
        assert!(!reaches(&key(Some("a"), &[]), &b));
        assert!(reaches(&key(None, &[]), &b));
    }

    #[test]
    fn bearer_tokens() {
        assert_eq!(key_text("Bearer antar_x").as_deref(), Some("antar_x"));
        assert_eq!(key_text("bearer  antar_x ").as_deref(), Some("antar_x"));
        // `me:antar_x`
        assert_eq!(key_text("Basic bWU6YW50YXJfeA==").as_deref(), Some("antar_x"));
        assert_eq!(key_text("Basic antar_x"), None);
        assert_eq!(key_text("antar_x"), None);
    }
}
