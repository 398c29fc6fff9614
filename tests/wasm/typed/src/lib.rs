//! A transform with typed data, for tests.

use std::collections::BTreeMap;

use antar_sdk::{Config, Event, Json, Outcome, Problem, Replacement, log, transform};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Data {
    /// Larger than what a JavaScript number holds.
    id: u64,
    /// Anything, as it was posted.
    #[serde(default)]
    more: BTreeMap<String, Json>,
}

#[derive(Config)]
struct Typed {
    /// What to do.
    act: Act,
}

#[derive(Config)]
#[serde(rename_all = "lowercase")]
enum Act {
    /// Adds one to the id.
    Count,
    /// Panics.
    Panic,
    /// Splits into two types.
    Split,
    /// Reads all else as a tree, and writes it again.
    Tree,
    /// Asks for a large block, and gives it back filled.
    Fill,
}

/// Does one thing or another.
///
/// For tests.
#[transform]
fn typed(event: Event<Data>, config: Typed) -> Result<Outcome, Problem> {
    log::info(format!("{} of {}", event.event_type, event.tenant));
    let mut data = event.data;
    Ok(match config.act {
        Act::Count => {
            data.id =
                data.id.checked_add(1).ok_or_else(|| Problem::fail("the id is at its end"))?;
            Outcome::replace(data)
        }
        Act::Panic => {
            let none: [u8; 0] = [];
            let index = usize::try_from(data.id)?;
            Outcome::drop(none[index].to_string())
        }
        Act::Split => Outcome::split([
            Replacement::new(Json::of(&data)?).with_type("part.one"),
            Replacement::new(data).with_type("part.two").with_attribute("part", "2"),
        ]),
        Act::Tree => {
            for json in data.more.values_mut() {
                let tree: serde_json::Value = serde_json::from_str(json.text())?;
                *json = Json::of(&tree)?;
            }
            Outcome::replace(data)
        }
        Act::Fill => {
            let text = "x".repeat(usize::try_from(data.id)?);
            data.more.insert("text".into(), Json::of(&text)?);
            Outcome::replace(data)
        }
    })
}

#[cfg(test)]
mod tests {
    use antar_sdk::testing;

    use super::*;

    #[test]
    fn an_ordinary_function_is_tested_as_such() {
        let data = Data { id: 8_202_522_731_445_525_542, more: BTreeMap::new() };
        let event = testing::event("{}").with_data(data);
        let Ok(Outcome::Replace(replacement)) = typed(event, Typed { act: Act::Count }) else {
            panic!("it replaces");
        };
        assert_eq!(replacement.data.text(), r#"{"id":8202522731445525543,"more":{}}"#);
    }
}
