//! Memory of the requests that attempts render, send and record. Small ones are not counted: their number is
//! bounded. Of the large ones a tenant holds no more than it leaves to all others.

use std::sync::Arc;

use crate::budget::{Budget, Charge, Limit, Limits};
use crate::config::DeliveryConfig;
use crate::model::TenantId;

/// Bytes of one attempt that are not counted.
const UNCOUNTED_BYTES: usize = 8 << 10;

/// The requests of all attempts on this node.
#[derive(Clone)]
pub struct RequestMemory(Arc<Budget<TenantId>>);

/// What one attempt holds, until it is dropped.
pub(crate) struct HeldRequest<'a> {
    memory: &'a RequestMemory,
    tenant: &'a TenantId,
    bytes: usize,
    charge: Option<Charge<TenantId>>,
}

/// Why an attempt may not hold its request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoMemory {
    /// Others of the tenant, or of all tenants, hold too much.
    Now(String),
    /// The request alone is too large.
    Ever(String),
}

impl RequestMemory {
    #[must_use]
    pub fn new(config: &DeliveryConfig) -> RequestMemory {
        let limit =
            |by| Limit { by, max: config.request_bytes_max, setting: "delivery.request_bytes_max" };
        let (server, owners) = (limit("the server"), limit("the tenant"));
        RequestMemory(Budget::new(Limits { what: "bytes of requests", server, owners }))
    }

    pub(crate) fn of<'a>(&'a self, tenant: &'a TenantId) -> HeldRequest<'a> {
        HeldRequest { memory: self, tenant, bytes: 0, charge: None }
    }
}

impl HeldRequest<'_> {
    /// Counts so many bytes more.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), NoMemory> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= UNCOUNTED_BYTES {
            return Ok(());
        }
        let raised = match &mut self.charge {
            Some(charge) => charge.raise(self.bytes),
            None => {
                let owners: Arc<[TenantId]> = [self.tenant.clone()].into();
                let taken = Charge::take(&self.memory.0, &owners, self.bytes);
                taken.map(|charge| self.charge = Some(charge))
            }
        };
        raised.map_err(|now| match self.memory.0.could_ever(self.tenant, self.bytes) {
            Ok(()) => NoMemory::Now(now.to_string()),
            Err(exceeded) => {
                NoMemory::Ever(format!("the request takes {} bytes; {exceeded}", self.bytes))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_requests_wait_for_each_other_and_small_ones_do_not() {
        let config = DeliveryConfig { request_bytes_max: 100 << 10, ..DeliveryConfig::default() };
        let memory = RequestMemory::new(&config);
        let (a, b): (TenantId, TenantId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut first = memory.of(&a);
        assert_eq!(first.add(20 << 10), Ok(()));
        assert_eq!(first.add(20 << 10), Ok(()));
        let mut second = memory.of(&a);
        let refused = second.add(20 << 10);
        assert!(matches!(refused, Err(NoMemory::Now(_))), "it would leave less than it has");
        assert_eq!(memory.of(&a).add(UNCOUNTED_BYTES), Ok(()));
        assert_eq!(memory.of(&b).add(20 << 10), Ok(()));
        drop(first);
        assert_eq!(memory.of(&a).add(20 << 10), Ok(()));
        let Err(NoMemory::Ever(why)) = memory.of(&b).add(60 << 10) else { panic!("it is held") };
        assert!(why.contains("delivery.request_bytes_max"), "{why}");
    }
}
