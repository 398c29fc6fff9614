//! The event that a plugin gets, and access to its data by path.

use std::str::FromStr;

use antar_json::Value;

use crate::{Date, Json, phone};

/// Something that happened. `data` is a JSON object, as posted or as a type of your own.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<D = Json> {
    pub id: String,
    pub event_type: String,
    pub tenant: String,
    /// RFC 3339, UTC, with milliseconds.
    pub timestamp: String,
    /// Short texts beside the data: platform, vendor, channel, source, subject.
    pub attributes: Vec<(String, String)>,
    pub data: D,
}

impl<D> Event<D> {
    /// The value of the attribute `name`.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// When it happened.
    pub fn happened(&self) -> Option<Date> {
        Date::parse(&self.timestamp)
    }

    /// The same event with other data.
    pub fn with_data<T>(self, data: T) -> Event<T> {
        let Event { id, event_type, tenant, timestamp, attributes, data: _ } = self;
        Event { id, event_type, tenant, timestamp, attributes, data }
    }
}

impl Event<Json> {
    /// The value at a dotted path that begins at `data`. See [`Json::at`].
    pub fn at(&self, path: &str) -> Option<Value<'_>> {
        self.data.at(path)
    }

    /// The text of the first scalar at a path: the characters of a string, the JSON text of a
    /// number or boolean. See [`Event::strings`].
    pub fn text(&self, path: &str) -> Option<String> {
        self.strings(path).next()
    }

    /// The first scalar at a path as a number of the requested type, exactly. The scalar is a JSON
    /// number or a string that contains one. None if it does not fit: a fraction never becomes an
    /// integer, and an integer loses digits only if an `f64` is requested.
    ///
    /// ```
    /// let event = antar_sdk::testing::event(r#"{"id": 8202522731445525542, "score": "7"}"#);
    /// assert_eq!(event.number("id"), Some(8_202_522_731_445_525_542_u64));
    /// assert_eq!(event.number("score"), Some(7_u8));
    /// assert_eq!(event.number::<i32>("id"), None);
    /// ```
    pub fn number<N: FromStr>(&self, path: &str) -> Option<N> {
        self.text(path)?.trim().parse().ok()
    }

    /// Whether the first scalar at a path is `true`, or the string `"true"`.
    pub fn is(&self, path: &str) -> bool {
        self.text(path).is_some_and(|text| text == "true")
    }

    /// The first scalar at a path as a point in time. See [`Date::parse`].
    pub fn date(&self, path: &str) -> Option<Date> {
        Date::parse(&self.text(path)?)
    }

    /// The first scalar at a path as a phone number. See [`phone::e164`].
    pub fn phone(&self, path: &str, country: &str) -> Option<String> {
        phone::e164(&self.text(path)?, country)
    }

    /// The texts of all scalars at a path: the characters of a string, the JSON text of a number or
    /// boolean. Arrays on the way and at the end are stepped through; `null` and objects give no
    /// text. Cheap for a few paths: it does not parse the whole data.
    pub fn strings(&self, path: &str) -> impl Iterator<Item = String> + use<'_> {
        self.data.strings(path)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::event;

    #[test]
    fn strings_come_from_scalars_arrays_and_arrays_of_objects() {
        let event = event(
            r#"{"one": "a", "id": 8202522731445525542, "many": ["a", 1.10, null, true, {}],
                "labels": [{"name": "vip"}, {"id": 1}, {"name": "new"}], "none": null}"#,
        );
        let strings = |path| event.strings(path).collect::<Vec<_>>();
        assert_eq!(strings("one"), ["a"]);
        assert_eq!(strings("id"), ["8202522731445525542"]);
        assert_eq!(strings("many"), ["a", "1.10", "true"]);
        assert_eq!(strings("labels.name"), ["vip", "new"]);
        assert_eq!(strings("labels.0.name"), ["vip"]);
        assert!(strings("none").is_empty() && strings("labels").is_empty());
        assert!(strings("one.further").is_empty());
    }
}
