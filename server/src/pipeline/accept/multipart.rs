//! `multipart/form-data` (RFC 7578): fields as text, files by name, type and size.

use std::convert::Infallible;

use antar_json::{Builder, Document};
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use multer::Multipart;

use crate::config::IntakeConfig;
use crate::model::Invalid;

/// The value of a field of a form.
pub(super) enum FieldValue {
    Text(String),
    Json(Document),
    /// A file, whose content is left out.
    File {
        name: String,
        content_type: String,
        bytes: usize,
    },
}

impl FieldValue {
    pub(super) fn write(&self, out: &mut Builder) {
        match self {
            FieldValue::Text(text) => out.string(text),
            FieldValue::Json(document) => out.copy(document.root()),
            FieldValue::File { name, content_type, bytes } => {
                out.object().key("name").string(name).key("type").string(content_type);
                out.key("size").number(i64::try_from(*bytes).unwrap_or(i64::MAX)).end()
            }
        };
    }
}

/// The fields of a body, in order.
///
/// # Errors
/// The body is none of this form, or has more fields than `intake.form_fields_max`.
pub(super) fn fields(
    body: &[u8],
    boundary: &str,
    limits: &IntakeConfig,
) -> Result<Vec<(String, FieldValue)>, Invalid> {
    // The parser quotes names, of any length.
    let broken = |error: String| {
        let error = antar_rules::cut(&error, 200);
        let detail = format!("the body is no multipart/form-data: {error}");
        Invalid { code: "malformed_json", ..Invalid::at("/body", detail) }
    };
    if boundary.is_empty() {
        return Err(broken("its Content-Type has no `boundary`".to_owned()));
    }
    let whole = Bytes::copy_from_slice(body);
    let chunks = stream::once(async move { Ok::<Bytes, Infallible>(whole) });
    let mut parts = Multipart::new(chunks, boundary);
    let mut fields = Vec::new();
    let reading = async {
        while let Some(part) = parts.next_field().await? {
            if fields.len() >= limits.form_fields_max {
                return Ok(false);
            }
            let name = part.name().unwrap_or_default().to_owned();
            let file_name = part.file_name().map(ToOwned::to_owned);
            let content_type = part.content_type().map_or_else(String::new, ToString::to_string);
            let value = match file_name {
                Some(name) => {
                    let bytes = part.bytes().await?.len();
                    FieldValue::File { name, content_type, bytes }
                }
                None => FieldValue::Text(part.text().await?),
            };
            fields.push((name, value));
        }
        Ok::<bool, multer::Error>(true)
    };
    // The whole body is there: nothing is waited for.
    match reading.now_or_never() {
        Some(Ok(true)) => Ok(fields),
        Some(Ok(false)) => {
            let max = limits.form_fields_max;
            let detail = format!("has more than {max} fields (intake.form_fields_max)");
            Err(Invalid { code: "body_too_large", ..Invalid::at("/body", detail) })
        }
        Some(Err(error)) => Err(broken(error.to_string())),
        None => Err(broken("it has no end".to_owned())),
    }
}
