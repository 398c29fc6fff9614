//! Compiles configuration on threads of its own: a few at once, and of one tenant one at a time, so that
//! neither HTTP workers nor other tenants wait for what a tenant wrote.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::Turns;
use crate::fault::{self, Point};
use crate::model::TenantId;
use crate::registry::ChangeError;

pub(in crate::registry) struct CompilePool {
    /// A tenant waits here with one compile only, so that those who wait for `places` are as many tenants.
    tenants: Turns,
    places: Arc<Semaphore>,
    waiting_max: usize,
}

/// For whom something is compiled.
#[derive(Clone, Copy)]
pub(in crate::registry) enum For<'a> {
    Tenant(&'a TenantId),
    Operator,
    /// All tenants wait for this: it takes no place. Only for very little.
    All,
}

impl CompilePool {
    pub(in crate::registry) fn new(places: usize, waiting_max: usize) -> CompilePool {
        CompilePool {
            tenants: Turns::default(),
            places: Arc::new(Semaphore::new(places)),
            waiting_max,
        }
    }

    /// Runs `compile` on a thread of its own when it is its turn. It runs to its end even if the caller gives
    /// up, and holds its place until then.
    pub(in crate::registry) async fn run<T: Send + 'static>(
        &self,
        whom: For<'_>,
        compile: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ChangeError> {
        let turn = match whom {
            For::Tenant(tenant) => Some(self.tenants.of_few(tenant, self.waiting_max).await?),
            For::Operator | For::All => None,
        };
        let place = match whom {
            For::Tenant(_) | For::Operator => {
                Some(self.places.clone().acquire_owned().await.map_err(ChangeError::broke)?)
            }
            For::All => None,
        };
        if turn.is_some() {
            fault::pass(Point::ChangeCompile).await;
        }
        let task = tokio::task::spawn_blocking(move || {
            let _held = (turn, place);
            compile()
        });
        task.await.map_err(ChangeError::broke)
    }
}
