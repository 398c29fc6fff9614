//! Long texts at rest: compressed with Zstandard, relative to a text that is stored anyway. What a template copies
//! from an event, in whole or in parts, then takes hardly any space.

use std::sync::Arc;

use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, ErrorCode, compress_bound, get_error_name, get_frame_content_size,
};

use crate::store::db::error::StoreError;

/// Shorter texts are stored as they are: the time to compress them buys nothing.
pub(crate) const PACK_BYTES_MIN: usize = 4 << 10;
/// The fastest: repetitions over long distances are found at every level.
const LEVEL: i32 = 1;
/// Zstandard's own bounds: 1 KiB to 128 MiB.
const WINDOW_LOG: std::ops::RangeInclusive<u32> = 10..=27;

/// Compresses a text. The reader has to know `known`, too.
pub(crate) fn pack(text: &str, known: &str) -> Result<Arc<[u8]>, StoreError> {
    let together = (text.len() + known.len()).next_power_of_two().ilog2();
    let window_log = together.clamp(*WINDOW_LOG.start(), *WINDOW_LOG.end());
    let mut context = CCtx::create();
    for parameter in [
        CParameter::CompressionLevel(LEVEL),
        CParameter::WindowLog(window_log),
        CParameter::EnableLongDistanceMatching(true),
    ] {
        context.set_parameter(parameter).map_err(failed)?;
    }
    context.ref_prefix(known.as_bytes()).map_err(failed)?;
    let mut packed = Vec::with_capacity(compress_bound(text.len()));
    context.compress2(&mut packed, text.as_bytes()).map_err(failed)?;
    Ok(packed.into())
}

/// The text that was compressed relative to `known`.
pub(crate) fn unpack(packed: &[u8], known: &str) -> Result<String, StoreError> {
    let corrupt = || StoreError::Corrupt("a compressed text has no length".to_owned());
    let length = get_frame_content_size(packed).ok().flatten().ok_or_else(corrupt)?;
    let mut text = Vec::with_capacity(usize::try_from(length).map_err(|_| corrupt())?);
    let mut context = DCtx::create();
    context.ref_prefix(known.as_bytes()).map_err(failed)?;
    context.decompress(&mut text, packed).map_err(failed)?;
    String::from_utf8(text).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The length of a text that was compressed, without reading it. What is damaged counts as endless.
pub(crate) fn unpacked_bytes(packed: &[u8]) -> usize {
    let length = get_frame_content_size(packed).ok().flatten();
    length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX)
}

fn failed(code: ErrorCode) -> StoreError {
    StoreError::Corrupt(format!("compressed text: {}", get_error_name(code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text that does not compress by itself.
    fn noise(bytes: usize, mut seed: u64) -> String {
        let letter = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + u8::try_from((seed >> 33) % 90).unwrap())
        };
        std::iter::repeat_with(letter).take(bytes).collect()
    }

    #[test]
    fn a_text_comes_back() {
        for (text, known) in [
            ("", ""),
            ("é", ""),
            (&*noise(5_000, 1), ""),
            (&*noise(5_000, 1), "{}"),
            (&*"é€".repeat(40_000), "é€é€"),
            (&*noise(300_000, 2), &*noise(300_000, 2)),
        ] {
            let packed = pack(text, known).unwrap();
            assert_eq!(
                (unpack(&packed, known).unwrap(), unpacked_bytes(&packed)),
                (text.to_owned(), text.len())
            );
        }
    }

    #[test]
    fn copies_of_a_known_text_take_no_space() {
        for bytes in [5_000, 100_000, 1_000_000, 4_000_000] {
            let known = noise(bytes, 3);
            let half = known.floor_char_boundary(bytes / 2);
            let text = format!("{}, and before it {}", &known[half..], &known[..half]);
            let packed = pack(&text, &known).unwrap();
            assert!(packed.len() < 200 + bytes / 1_000, "{bytes} bytes take {}", packed.len());
            assert_eq!(unpack(&packed, &known).unwrap(), text);
        }
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        let packed = pack(&noise(5_000, 4), "known").unwrap();
        assert!(unpack(&packed[..packed.len() - 9], "known").is_err());
        assert!(unpack(b"no frame at all", "").is_err());
    }
}
