//! The filter with the SDK.

use antar_sdk::{Event, Verdict, filter};

/// Reads one field.
#[filter]
fn bench_filter(event: Event) -> Verdict {
    if bench_work::wanted(event.data.root()) { Verdict::Pass } else { Verdict::drop("no") }
}
