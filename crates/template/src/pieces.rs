//! A rendered text with markers in place of named secrets.

use serde::{Deserialize, Serialize};

use crate::{Escape, MissingSecret};

/// Shown in place of a secret.
pub const MASK: &str = "•••";

/// A part of a rendered text. Serialized as a string for text and as an object for a secret, the format in
/// which a delivery's frozen request is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Piece {
    Text(String),
    Secret {
        #[serde(rename = "secret")]
        name: String,
        escape: Escape,
    },
}

/// The result of rendering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub pieces: Vec<Piece>,
    /// The tokens without a value, as written, each once, in order.
    pub unresolved: Vec<String>,
    /// Whether the whole value was dropped under `omit`: a header that must not be sent.
    pub omitted: bool,
}

impl Rendered {
    /// The text with [`MASK`] for secrets.
    #[must_use]
    pub fn masked(&self) -> String {
        masked(&self.pieces)
    }
}

/// Inserts the secrets, each escaped for its place.
pub fn resolve(
    pieces: &[Piece],
    mut secret: impl FnMut(&str) -> Option<String>,
) -> Result<String, MissingSecret> {
    let mut out = String::with_capacity(text_length_bytes(pieces) + 64);
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Secret { name, escape } => {
                let value = secret(name).ok_or_else(|| MissingSecret { name: name.clone() })?;
                escape.write(&mut out, &value);
            }
        }
    }
    Ok(out)
}

/// The text with [`MASK`] for secrets; a secret that is a JSON value keeps its quotes.
#[must_use]
pub fn masked(pieces: &[Piece]) -> String {
    let mut out = String::with_capacity(text_length_bytes(pieces) + 16);
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Secret { escape: Escape::JsonValue, .. } => {
                out.extend(["\"", MASK, "\""]);
            }
            Piece::Secret { .. } => out.push_str(MASK),
        }
    }
    out
}

/// Bytes of the texts, without secrets.
#[must_use]
pub fn text_length_bytes(pieces: &[Piece]) -> usize {
    pieces.iter().map(|piece| if let Piece::Text(text) = piece { text.len() } else { 0 }).sum()
}
