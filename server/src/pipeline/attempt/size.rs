//! Bounds the size of a request by the number of requests that its event leads to: a template or a plugin may
//! make much of a small event, for thousands of deliveries.

use antar_template::Piece;

use super::render::CannotRender;
use crate::model::{Event, Frozen};
use crate::pipeline::compiled::tenant::Tenant;

/// Checks that a request of `bytes` is no larger than its share of `bytes_max`, which all deliveries of the
/// event's request have together, or than twice the event.
pub(crate) fn check(bytes: usize, event: &Event, bytes_max: usize) -> Result<(), CannotRender> {
    let fanout = usize::try_from(event.fanout).unwrap_or(usize::MAX).max(1);
    let share = bytes_max / fanout;
    if bytes <= share.max(event.document.text().len().saturating_mul(2)) {
        return Ok(());
    }
    let error = format!(
        "{bytes} bytes are too many for each of {fanout} deliveries; {share} are allowed \
         (intake.fanout_bytes_max)"
    );
    Err(CannotRender { place: "request".to_owned(), error, unresolved: Vec::new() })
}

/// Bytes of a request's texts.
pub(crate) fn bytes_of(frozen: &Frozen, tenant: &Tenant) -> usize {
    let headers = frozen.headers.iter().flat_map(|header| &header.value);
    let all = frozen.url.iter().chain(headers).chain(frozen.body.iter().flatten());
    all.map(|piece| match piece {
        Piece::Text(text) => text.len(),
        Piece::Secret { name, .. } => tenant.secret(name).map_or(0, |value| value.reveal().len()),
    })
    .sum()
}
