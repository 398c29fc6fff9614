//! Secrets in texts: found in whatever shape they were written, masked, or taken out again.

use antar_template::{Escape, Piece};
use zeroize::Zeroizing;

use crate::model::Secret;

/// Stands for a secret wherever one is shown.
pub const MASK: &str = "•••";

/// A secret as it stands in a header, a JSON string, a URL, a form: what a receiver echoes is what
/// it was sent. Longest first, because one shape may be a part of another.
fn shapes(secret: &Secret) -> Vec<(Zeroizing<String>, Escape)> {
    // Shorter ones would blot out half of an innocent text.
    const SECRET_BYTES_MIN: usize = 6;
    let text = secret.reveal();
    if text.len() < SECRET_BYTES_MIN {
        return Vec::new();
    }
    let mut shapes: Vec<(Zeroizing<String>, Escape)> = Vec::new();
    // The quotes of a JSON value are no part of the secret.
    for escape in Escape::ALL.into_iter().filter(|escape| *escape != Escape::JsonValue) {
        let shape = Zeroizing::new(escape.escaped(text));
        if !shapes.iter().any(|(known, _)| *known == shape) {
            shapes.push((shape, escape));
        }
    }
    shapes.sort_by_key(|(shape, _)| std::cmp::Reverse(shape.len()));
    shapes
}

/// `text` with every secret in every shape masked.
#[must_use]
pub fn mask(mut text: String, secrets: &[Secret]) -> String {
    for (shape, _) in secrets.iter().flat_map(shapes) {
        if text.contains(shape.as_str()) {
            text = text.replace(shape.as_str(), MASK);
        }
    }
    text
}

/// Puts markers where a plugin wrote a secret of its config, so that it is not stored.
#[must_use]
pub(super) fn mark(mut pieces: Vec<Piece>, secrets: &[(String, Secret)]) -> Vec<Piece> {
    for (name, secret) in secrets {
        for (shape, escape) in shapes(secret) {
            pieces = split(pieces, &shape, name, escape);
        }
    }
    pieces
}

fn split(pieces: Vec<Piece>, shape: &str, name: &str, escape: Escape) -> Vec<Piece> {
    let mut out = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match piece {
            Piece::Text(text) if text.contains(shape) => {
                for (number, part) in text.split(shape).enumerate() {
                    if number > 0 {
                        out.push(Piece::Secret { name: name.to_owned(), escape });
                    }
                    if !part.is_empty() {
                        out.push(Piece::Text(part.to_owned()));
                    }
                }
            }
            piece => out.push(piece),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_masked_in_every_shape() {
        let secret = [Secret::new("pass word+1/2=\"x".to_owned())];
        for escape in Escape::ALL {
            let echoed = format!("<{}>", escape.escaped(secret[0].reveal()));
            let masked = mask(echoed.clone(), &secret);
            assert!(masked.trim_matches(['<', '>', '"']) == MASK, "{echoed} became {masked}");
        }
        assert_eq!(mask("abc".to_owned(), &[Secret::new("b".to_owned())]), "abc");
    }

    #[test]
    fn what_a_plugin_wrote_is_taken_out_and_comes_back() {
        let value = "to\"ken/1";
        let secrets = [("crm".to_owned(), Secret::new(value.to_owned()))];
        let body = format!(r#"{{"key":{},"n":1}}"#, antar_json::quote(value));
        let pieces = mark(vec![Piece::Text(body.clone())], &secrets);
        let stored = serde_json::to_string(&pieces).unwrap();
        assert!(!stored.contains("ken/1"), "{stored}");
        let resolved = antar_template::resolve(&pieces, |_| Some(value.to_owned()));
        assert_eq!(resolved.unwrap(), body);
    }
}
