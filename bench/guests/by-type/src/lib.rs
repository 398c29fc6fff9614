//! The least that a filter does.

use antar_sdk::{Event, Verdict, filter};

/// Reads the event's type.
#[filter]
fn bench_by_type(event: Event) -> Verdict {
    match event.event_type.as_str() {
        "conversation.created" => Verdict::Pass,
        _ => Verdict::drop("another type"),
    }
}
