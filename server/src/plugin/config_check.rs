//! Lets a plugin check its own config. It finds more than a schema can, such as a mistake in a
//! script.

use super::{Call, CallError, ConfigError, Host, Plugin};

impl Host {
    /// Calls `plugin` once, uncounted, and returns its error about `call.config`, if any. A problem
    /// is about the config if it starts with `config`, a path below it, and a colon, as the SDKs
    /// format it: `config.any.2: expected a string`. Any other answer counts as no error.
    pub async fn config_complaint(&self, plugin: &Plugin, call: Call<'_>) -> Option<ConfigError> {
        match self.call_uncounted(plugin, call).await.result {
            Err(CallError::Retry(reason) | CallError::Fail(reason)) => complaint(&reason),
            _ => None,
        }
    }
}

fn complaint(reason: &str) -> Option<ConfigError> {
    let (place, detail) = reason.strip_prefix("config")?.split_once(':')?;
    let path = match place.strip_prefix('.') {
        Some(path) => path,
        None if place.is_empty() => "",
        None => return None,
    };
    if path.contains(char::is_whitespace) {
        return None;
    }
    let pointer = path.split('.').filter(|part| !part.is_empty()).map(|part| format!("/{part}"));
    Some(ConfigError { pointer: pointer.collect(), detail: detail.trim_start().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn only_what_is_said_of_the_config_counts() {
        let found = |reason| complaint(reason).map(|e| (e.pointer, e.detail));
        let error = |pointer: &str, detail: &str| Some((pointer.to_owned(), detail.to_owned()));
        assert_eq!(found("config.any.2: no text"), error("/any/2", "no text"));
        assert_eq!(found("config: a: b"), error("", "a: b"));
        assert_eq!(found("data.any: no text"), None);
        assert_eq!(found("configuration: no"), None);
        assert_eq!(found("config of the CRM: no"), None);
        assert_eq!(found("config"), None);
    }
}
