//! Names of the languages.

use serde::{Deserialize, Serialize};

/// As in `--lang` and in the project's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lang {
    /// Small and fast; needs cargo
    Rust,
    /// Node and npm build it, QuickJS runs it
    Js,
    /// Python 3 builds it; large
    Python,
}

impl Lang {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Lang::Rust => "rust",
            Lang::Js => "js",
            Lang::Python => "python",
        }
    }

    /// All names, for messages.
    pub(crate) fn names() -> String {
        let all = <Lang as clap::ValueEnum>::value_variants();
        all.iter().map(|lang| lang.name()).collect::<Vec<_>>().join(", ")
    }
}
