//! The bundled transform `reshape`.

mod shape;

use antar_sdk::{Config, Event, Json, Outcome, Problem, json_text::Builder, transform};

use shape::Shape;

#[derive(Config)]
struct Reshape {
    /// The new document, key by key, in the order in which they are written.
    to: Shape,
    /// Writes the keys of the old document after it that were not taken: neither read whole by a
    /// path nor written already.
    #[config(default)]
    rest: bool,
}

/// Makes a new document out of paths and constants.
///
/// In `to`, a text is a dotted path that begins at `data`; what stands there is taken with its
/// type. `{"const": …}` is a constant, `{"path": …, "default": …}` a path with something in its
/// place, `{"object": {…}}` and `{"array": […]}` hold more of these. What is not there leaves its
/// key out.
#[transform]
fn reshape(event: Event, config: Reshape) -> Result<Outcome, Problem> {
    let mut out = Builder::new();
    out.object();
    let mut taken = Vec::new();
    config.to.write_members(&event.data, &mut out, &mut taken)?;
    if config.rest {
        for (key, value) in event.data.root().members() {
            if !taken.iter().any(|name| key.str_eq(name)) {
                out.copy_key(key).copy(value);
            }
        }
    }
    Ok(Outcome::replace(Json::from(out.finish())))
}

#[cfg(test)]
mod tests {
    use antar_sdk::testing::check_transform;

    use super::*;

    #[test]
    fn fixtures() {
        check_transform("fixtures", reshape);
    }
}
