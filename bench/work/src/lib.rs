//! What all sides of the bench do, natively and inside of a guest.

use antar_json::{Builder, Document, Value};

/// The filter: reads one field.
#[must_use]
pub fn wanted(data: Value<'_>) -> bool {
    data.at("conversation.inbox.name").is_some_and(|name| name.str_eq("Sales"))
}

/// The transform: two keys get other names, one is new, the rest is copied.
#[must_use]
pub fn reshaped(data: Value<'_>) -> Document {
    let mut out = Builder::new();
    out.object();
    for (key, value) in data.members() {
        if key.str_eq("conversation") {
            out.key("chat").copy(value);
        } else if key.str_eq("contact") {
            out.key("person").copy(value);
        } else {
            out.copy_key(key).copy(value);
        }
    }
    out.key("source").string("bench").end();
    out.finish()
}
