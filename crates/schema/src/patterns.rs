//! The memory that the regular expressions of a schema take.
//!
//! A short expression may compile into a large program: `\w{1000}` takes megabytes. The library bounds a single
//! one, not all of a schema together.

use regex::RegexBuilder;

use crate::SchemaError;

/// The smallest limit that is tried.
const BYTES_MIN: usize = 4 << 10;

/// Refuses expressions that take more than `bytes_max` together, each rounded up to the next power of two.
///
/// # Errors
/// `TooLargePatterns`
pub(crate) fn check_memory(patterns: &[String], bytes_max: usize) -> Result<(), SchemaError> {
    let mut sum = 0;
    for pattern in patterns {
        sum += program_bytes(pattern, bytes_max);
        if sum > bytes_max {
            return Err(SchemaError::TooLargePatterns { bytes_max });
        }
    }
    Ok(())
}

/// The smallest power of two that suffices for the program of an expression; more than `bytes_max` if none below
/// does. An expression that is refused for another reason takes nothing: the validator refuses it, too.
fn program_bytes(pattern: &str, bytes_max: usize) -> usize {
    let mut bytes = BYTES_MIN;
    while bytes <= bytes_max {
        match RegexBuilder::new(pattern).size_limit(bytes).build() {
            Err(regex::Error::CompiledTooBig(_)) => bytes *= 2,
            Ok(_) | Err(_) => return bytes,
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_count_with_what_they_compile_to() {
        let of = |pattern: &str| program_bytes(pattern, 1 << 20);
        assert!(of("^[a-z]+$") <= 16 << 10);
        assert!(of("[a-z]{100}") < of("[a-z]{2000}"));
        assert!(of(r"\w{500}") > 1 << 20);
        assert!(check_memory(&vec!["[a-z]{2000}".to_owned(); 100], 1 << 20).is_err());
    }
}
