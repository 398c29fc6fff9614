//! Content codings (RFC 9110 §8.4): decodes what was sent compressed, up to a bound.

use std::io::{BufRead as _, BufReader, ErrorKind, Read};

/// The window of `zstd` that a receiver has to support (RFC 9659 §3); a larger one is refused.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Codings of one body: each is decoded in turn.
const CODINGS_MAX: usize = 2;
const BROTLI_BUFFER_BYTES: usize = 4_096;
/// How a stream begins whose window is larger than RFC 7932 §9.1 permits.
const BROTLI_LARGE_WINDOW: u8 = 0x11;

/// A decoded body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) bytes: Vec<u8>,
    /// The rest is left out: it is longer than permitted, or ends early or in what can't be decoded.
    pub(crate) end: End,
}

/// How a decoded body ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    TooLong,
    Broken(String),
}

/// The codings of a body, as `Content-Encoding` names them, in the order in which they were applied.
pub(crate) struct Codings(Vec<Coding>);

#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Codings {
    /// Reads the values of `Content-Encoding`, without case. The error names the coding that is unknown.
    pub(crate) fn parse(text: &str) -> Result<Codings, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let mut codings = Vec::new();
        for name in names {
            let name = name.to_ascii_lowercase();
            codings.push(match name.as_str() {
                "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                _ => return Err(name),
            });
        }
        if codings.len() > CODINGS_MAX { Err(text.to_owned()) } else { Ok(Codings(codings)) }
    }

    pub(crate) fn is_identity(&self) -> bool {
        self.0.is_empty()
    }

    /// Decodes a body to at most `bytes_max`.
    pub(crate) fn decode(&self, body: &[u8], bytes_max: usize) -> Decoded {
        let mut reader: Box<dyn Read + '_> = Box::new(body);
        for coding in self.0.iter().rev() {
            reader = match coding.reader(reader) {
                // What is between two codings is bounded too: the next one may make nothing of very much.
                Ok(reader) => Box::new(Bounded { reader, left: bytes_max.saturating_add(1) }),
                Err(error) => {
                    return Decoded { bytes: Vec::new(), end: End::Broken(error.to_string()) };
                }
            };
        }
        let mut bytes = Vec::new();
        let read = reader.read_to_end(&mut bytes);
        let end = match read {
            // One byte more than permitted shows that there is more.
            _ if bytes.len() > bytes_max => End::TooLong,
            Err(error) if error.kind() == ErrorKind::FileTooLarge => End::TooLong,
            Ok(_) => End::Whole,
            Err(error) => End::Broken(error.to_string()),
        };
        bytes.truncate(bytes_max);
        Decoded { bytes, end }
    }
}

/// A reader that fails once more than this is read.
struct Bounded<'a> {
    reader: Box<dyn Read + 'a>,
    left: usize,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 && !buffer.is_empty() {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let length = buffer.len().min(self.left);
        let count = self.reader.read(&mut buffer[..length])?;
        self.left -= count;
        Ok(count)
    }
}

impl Coding {
    fn reader<'a>(self, inner: Box<dyn Read + 'a>) -> std::io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Coding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(inner)),
            Coding::Deflate => {
                let mut inner = BufReader::new(inner);
                if is_zlib(inner.fill_buf()?) {
                    Box::new(flate2::bufread::ZlibDecoder::new(inner))
                } else {
                    Box::new(flate2::bufread::DeflateDecoder::new(inner))
                }
            }
            Coding::Brotli => {
                let mut inner = BufReader::new(inner);
                if inner.fill_buf()?.first().is_some_and(|byte| byte & 0x7f == BROTLI_LARGE_WINDOW)
                {
                    return Err(std::io::Error::other("its window is larger than brotli has"));
                }
                Box::new(brotli_decompressor::Decompressor::new(inner, BROTLI_BUFFER_BYTES))
            }
            Coding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(inner)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        })
    }
}

/// `deflate` is the zlib format (RFC 9110 §8.4.1.2); some send it without that wrapping.
fn is_zlib(body: &[u8]) -> bool {
    let [first, second, ..] = body else { return false };
    first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;

    use super::*;

    const TEXT: &[u8] =
        br#"{"ok": true, "ids": [1, 2, 3], "text": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;
    /// `TEXT` as Node.js compresses it.
    const BROTLI_HEX: &str = "1b4f00f82d8b77c03b912d46ac2a9d15f3f1bc354bd7dbde169199d95a6169a5d3972231730152646b309113f0c09ac7789177030e00c18e6ecd54739f2cda4104";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
        out.write_all(text).unwrap();
        out.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
        out.write_all(text).unwrap();
        out.finish().unwrap()
    }

    fn raw_deflate(text: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
        out.write_all(text).unwrap();
        out.finish().unwrap()
    }

    fn decoded(codings: &str, body: &[u8], bytes_max: usize) -> Decoded {
        Codings::parse(codings).unwrap().decode(body, bytes_max)
    }

    #[test]
    fn each_coding_alone_and_two_in_a_row() {
        let whole = || Decoded { bytes: TEXT.to_vec(), end: End::Whole };
        let zstd = zstd::encode_all(TEXT, 3).unwrap();
        for (codings, body) in [
            ("", TEXT.to_vec()),
            ("identity", TEXT.to_vec()),
            ("gzip", gzip(TEXT)),
            ("X-GZIP", gzip(TEXT)),
            ("GZip", [gzip(&TEXT[..10]), gzip(&TEXT[10..])].concat()),
            ("deflate", zlib(TEXT)),
            ("deflate", raw_deflate(TEXT)),
            ("br", hex::decode(BROTLI_HEX).unwrap()),
            ("zstd", zstd.clone()),
            ("zstd, gzip", gzip(&zstd)),
            ("deflate,identity , deflate", zlib(&raw_deflate(TEXT))),
        ] {
            assert_eq!(decoded(codings, &body, 1_000), whole(), "{codings}");
        }
        assert_eq!(Codings::parse("gzip, compress").err().unwrap(), "compress");
        assert!(Codings::parse("gzip, gzip, gzip").is_err());
    }

    #[test]
    fn what_expands_without_end_is_cut() {
        let zeros = vec![0; 10 << 20];
        for (codings, body) in [
            ("gzip", gzip(&zeros)),
            ("deflate", zlib(&zeros)),
            ("zstd", zstd::encode_all(&zeros[..], 3).unwrap()),
            ("gzip, gzip", gzip(&gzip(&zeros))),
            // The inner coding has nothing in it, however long it is.
            ("gzip, gzip", gzip(&gzip(b"").repeat(100_000))),
        ] {
            let decoded = decoded(codings, &body, 1_000);
            assert_eq!(decoded.end, End::TooLong, "{codings}");
            assert!(decoded.bytes.len() <= 1_000, "{codings}");
        }
    }

    #[test]
    fn what_breaks_off_is_kept_as_far_as_it_goes() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
        let cut = |whole: &[u8]| whole[..whole.len() / 2].to_vec();
        for (codings, body) in [
            ("gzip", cut(&gzip(&text))),
            ("deflate", cut(&zlib(&text))),
            ("zstd", cut(&zstd::encode_all(&text[..], 3).unwrap())),
        ] {
            let decoded = decoded(codings, &body, 1 << 20);
            assert!(matches!(decoded.end, End::Broken(_)), "{codings}");
            assert!(!decoded.bytes.is_empty() && text.starts_with(&decoded.bytes), "{codings}");
        }
        for codings in ["gzip", "br", "zstd"] {
            assert!(matches!(decoded(codings, b"no such form", 99).end, End::Broken(_)));
        }
        assert!(matches!(decoded("br", &[0x11, 0x1e, 0, 0, 0], 99).end, End::Broken(_)));
        // A window of 128 MiB.
        let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        wide.window_log(27).unwrap();
        wide.write_all(&text).unwrap();
        assert!(matches!(decoded("zstd", &wide.finish().unwrap(), 99).end, End::Broken(_)));
    }
}
