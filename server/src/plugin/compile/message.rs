//! What the server and its compiler tell each other, over the compiler's standard input and output.
//!
//! Each message is a length, 32 bits with the lowest byte first, and as much JSON. The module
//! follows the request, and machine code follows the reply [`Reply::Code`].

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::super::UploadError;
use super::super::inspection::quote::{cut, first};

/// Longest JSON of a message.
pub(super) const HEAD_BYTES_MAX: u32 = 64 << 10;
/// A refusal's reason is cut after this. It may quote the upload.
const REASON_CHARS_MAX: usize = 2_000;

/// What to compile, and within which limits.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Version of the code that the server can load.
    pub(super) version: String,
    pub(super) module_bytes: u64,
    pub(super) cpu_s_max: u64,
    pub(super) memory_bytes_max: u64,
    pub(super) code_bytes_max: u64,
    pub(super) threads: usize,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// So many bytes of machine code follow.
    Code {
        bytes: u64,
    },
    /// The machine code is longer than it may be.
    TooMuchCode,
    /// The compiler is of another version than the server.
    OtherVersion,
    NotWasm,
    Module(String),
    Component(String),
    Imports(Vec<String>),
    Exports(Vec<String>),
    /// A fault of this machine or of the compiler.
    Failed(String),
}

impl Reply {
    pub(super) fn refused(error: UploadError) -> Reply {
        match error {
            UploadError::NotWasm => Reply::NotWasm,
            UploadError::Module(why) => Reply::Module(cut(&why, REASON_CHARS_MAX)),
            UploadError::Component(why) => Reply::Component(cut(&why, REASON_CHARS_MAX)),
            UploadError::Imports(names) => Reply::Imports(first(names)),
            UploadError::Exports(names) => Reply::Exports(first(names)),
            other => Reply::Failed(cut(&other.to_string(), REASON_CHARS_MAX)),
        }
    }

    /// The length of the code that follows.
    pub(super) fn code_bytes(self, code_bytes_max: u64) -> Result<u64, UploadError> {
        Err(match self {
            Reply::Code { bytes } if bytes <= code_bytes_max => return Ok(bytes),
            Reply::Code { .. } | Reply::TooMuchCode => {
                UploadError::TooMuchCode { limit_bytes: code_bytes_max }
            }
            Reply::OtherVersion => UploadError::Internal(
                "the program's file is of another version than the running server; restart it"
                    .into(),
            ),
            Reply::NotWasm => UploadError::NotWasm,
            Reply::Module(why) => UploadError::Module(why),
            Reply::Component(why) => UploadError::Component(why),
            Reply::Imports(names) => UploadError::Imports(names),
            Reply::Exports(names) => UploadError::Exports(names),
            Reply::Failed(why) => UploadError::Internal(why),
        })
    }
}

/// A message with its length.
pub(super) fn written(message: &impl Serialize) -> std::io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length <= HEAD_BYTES_MAX);
    let length = length.ok_or_else(|| std::io::Error::other("the message is too long"))?;
    Ok([&length.to_le_bytes()[..], &json].concat())
}

/// The length of the JSON that follows.
pub(super) fn length(bytes: [u8; 4]) -> std::io::Result<usize> {
    let length = Some(u32::from_le_bytes(bytes)).filter(|length| *length <= HEAD_BYTES_MAX);
    let length = length.and_then(|length| usize::try_from(length).ok());
    length.ok_or_else(|| std::io::Error::other("the message is too long"))
}

pub(super) fn read<T: DeserializeOwned>(json: &[u8]) -> std::io::Result<T> {
    Ok(serde_json::from_slice(json)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_short_whatever_the_upload_says() {
        let long = "é".repeat(100_000);
        for error in [
            UploadError::Module(long.clone()),
            UploadError::Component("\u{1}".repeat(100_000)),
            UploadError::Imports(vec![long.clone(); 1_000]),
            UploadError::Exports(vec!["\u{1}".repeat(100_000); 1_000]),
        ] {
            let bytes = written(&Reply::refused(error)).unwrap();
            assert!(bytes.len() < HEAD_BYTES_MAX as usize / 2, "{}", bytes.len());
        }
    }

    #[test]
    fn code_longer_than_allowed_is_not_read() {
        let code = |bytes, most| Reply::Code { bytes }.code_bytes(most);
        assert_eq!(code(10, 10).unwrap(), 10);
        assert!(matches!(code(11, 10), Err(UploadError::TooMuchCode { limit_bytes: 10 })));
        assert!(length((HEAD_BYTES_MAX + 1).to_le_bytes()).is_err());
    }
}
