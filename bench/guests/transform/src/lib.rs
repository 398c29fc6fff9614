//! The transform with the SDK.

use antar_sdk::{Event, Json, transform};

/// Two keys get other names, one is new.
#[transform]
fn bench_transform(event: Event) -> Json {
    Json::from(bench_work::reshaped(event.data.root()))
}
