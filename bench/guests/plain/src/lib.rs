//! The transform with the allocator that Rust brings, as guests without the SDK have it.

use antar_sdk::{Event, Json, transform};

/// Two keys get other names, one is new.
#[transform]
fn bench_transform(event: Event) -> Json {
    Json::from(bench_work::reshaped(event.data.root()))
}
