//! Finds secrets in texts, in every escaped form (shape), and masks them or replaces them by markers.

use antar_template::{Escape, MASK, Piece};
use zeroize::Zeroizing;

use crate::model::Secret;

/// Shorter secrets are not masked: they would match too much unrelated text.
pub(crate) const SECRET_BYTES_MIN: usize = 6;

/// The forms of a secret in a header, a JSON string, a URL or a form body: a receiver echoes what it
/// was sent. Longest first, because one shape may contain another.
fn shapes(secret: &Secret) -> Vec<(Zeroizing<String>, Escape)> {
    let text = secret.reveal();
    if text.len() < SECRET_BYTES_MIN {
        return Vec::new();
    }
    let mut shapes: Vec<(Zeroizing<String>, Escape)> = Vec::new();
    // The quotes of a JSON value are not part of the secret.
    for escape in Escape::ALL.into_iter().filter(|escape| *escape != Escape::JsonValue) {
        let shape = Zeroizing::new(escape.escaped(text));
        if !shapes.iter().any(|(known, _)| *known == shape) {
            shapes.push((shape, escape));
        }
    }
    shapes.sort_by_key(|(shape, _)| std::cmp::Reverse(shape.len()));
    shapes
}

/// Masks secrets in text from outside: a receiver may echo what it was sent, whole or in parts, and
/// possibly quoted once more.
pub struct Masker {
    /// Longest first.
    shapes: Vec<Zeroizing<String>>,
}

impl Masker {
    /// Whether a text is long enough to contain one of the secrets, or a part of one that is masked.
    /// Most responses are shorter, which avoids building a masker.
    pub fn may_be_needed<'a>(secrets: impl IntoIterator<Item = &'a Secret>, text: &str) -> bool {
        // No shape is shorter than the secret itself.
        let shortest = |secret: &Secret| match secret.reveal() {
            url if is_url(url) => SECRET_BYTES_MIN,
            whole => whole.len().max(SECRET_BYTES_MIN),
        };
        secrets.into_iter().any(|secret| text.len() >= shortest(secret))
    }

    #[must_use]
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Masker {
        let mut masker = Masker { shapes: Vec::new() };
        for secret in secrets {
            masker.add(secret);
            url_parts(secret.reveal()).iter().for_each(|part| masker.add(part));
        }
        let longest_first = |a: &Zeroizing<String>, b: &Zeroizing<String>| {
            b.len().cmp(&a.len()).then_with(|| a.cmp(b))
        };
        masker.shapes.sort_by(longest_first);
        masker.shapes.dedup();
        masker
    }

    fn add(&mut self, secret: &Secret) {
        for (shape, _) in shapes(secret) {
            // A body quoted in a JSON response, by serializers that escape slashes and by others.
            let quoted = Zeroizing::new(Escape::JsonText.escaped(&shape));
            let slashes = Zeroizing::new(quoted.replace('/', "\\/"));
            self.shapes.extend([slashes, quoted, shape]);
        }
    }

    #[must_use]
    pub fn mask(&self, mut text: String) -> String {
        for shape in &self.shapes {
            if text.contains(shape.as_str()) {
                text = text.replace(shape.as_str(), MASK);
            }
        }
        text
    }
}

/// The parts that a receiver sees of a URL that is a secret as a whole: path and query, and those
/// segments and parameters of them that are long enough to be keys.
fn url_parts(text: &str) -> Vec<Secret> {
    const KEY_BYTES_MIN: usize = 16;
    let Some(url) = is_url(text).then(|| url::Url::parse(text).ok()).flatten() else {
        return Vec::new();
    };
    let (path, query) = (url.path(), url.query().unwrap_or_default());
    let whole = [format!("{path}?{query}"), path.to_owned(), query.to_owned()];
    let keys = path.split('/').chain(query.split(['&', '=']));
    let keys = keys.filter(|part| part.len() >= KEY_BYTES_MIN).map(str::to_owned);
    whole.into_iter().chain(keys).map(Secret::new).collect()
}

fn is_url(text: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme))
}

/// Replaces secrets that a plugin copied from its config by markers, so that they are not stored.
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
            let quoted = antar_json::quote(&echoed);
            for echoed in [echoed, quoted.replace('/', "\\/"), quoted] {
                let masked = Masker::of(&secret).mask(echoed.clone());
                assert!(
                    masked.trim_matches(['<', '>', '"', '\\']) == MASK,
                    "{echoed} became {masked}"
                );
            }
        }
        assert!(Masker::may_be_needed(&secret, secret[0].reveal()));
        assert!(!Masker::may_be_needed(&secret, &secret[0].reveal()[1..]));
        let short = Secret::new("b".to_owned());
        assert_eq!(Masker::of([&short]).mask("abc".to_owned()), "abc");
    }

    #[test]
    fn the_parts_of_a_secret_url_are_masked_where_they_are_echoed() {
        let url =
            Secret::new("https://hooks.example/services/T0/B0/TOKENabcdef0123456?k=v".to_owned());
        let masker = Masker::of([&url]);
        for (echoed, masked) in [
            ("Cannot POST /services/T0/B0/TOKENabcdef0123456", "Cannot POST •••"),
            (r#"{"path": "\/services\/T0\/B0\/TOKENabcdef0123456?k=v"}"#, r#"{"path": "•••"}"#),
            ("no such token: TOKENabcdef0123456", "no such token: •••"),
            ("services of hooks.example", "services of hooks.example"),
        ] {
            assert!(Masker::may_be_needed([&url], echoed));
            assert_eq!(masker.mask(echoed.to_owned()), masked);
        }
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
