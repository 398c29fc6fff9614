//! The filter with the SDK.

use antar_sdk::{Event, Verdict, filter};

/// Reads one field.
#[filter]
fn bench_filter(event: Event) -> Verdict {
    match event.text("conversation.inbox.name") {
        Some(name) if name == "Sales" => Verdict::Pass,
        _ => Verdict::drop("no"),
    }
}
