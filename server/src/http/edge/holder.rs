//! Who holds connections and bytes of bodies: tenants, and callers that are known by their address alone.

use super::client_address::Network;
use super::error::{Code, Problem};
use crate::budget::{self, Exceeded, Limit, Owner};
use crate::model::TenantId;

pub(crate) type Budget = budget::Budget<Holder>;
pub(crate) type Charge = budget::Charge<Holder>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    Tenant(TenantId),
    /// Callers without a key.
    Address(Network),
}

/// The limits of one holder of each kind.
pub(crate) struct HolderLimits {
    pub(crate) tenant: Limit,
    pub(crate) address: Limit,
}

impl Owner for Holder {
    type Limits = HolderLimits;

    fn limit(&self, limits: &HolderLimits) -> Limit {
        match self {
            Holder::Tenant(_) => limits.tenant,
            Holder::Address(_) => limits.address,
        }
    }
}

impl From<Exceeded> for Problem {
    fn from(exceeded: Exceeded) -> Problem {
        let code = if exceeded.server { Code::Busy } else { Code::TooManyRequests };
        Problem::new(code, exceeded.to_string())
    }
}
