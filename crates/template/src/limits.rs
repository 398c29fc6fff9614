//! Limits on compiling and rendering a template.

use serde::{Deserialize, Serialize};

/// Limits of one template. Those below `depth_max` apply while rendering; they take the place of a time
/// limit, as rendering has no clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Longest template text.
    pub source_bytes_max: usize,
    /// Most `{{tags}}` in one template.
    pub tags_max: usize,
    /// Deepest nesting of blocks, of subexpressions, and of the JSON or XML a template writes
    /// out itself.
    pub depth_max: usize,
    /// Longest rendered text, and longest value a helper may make.
    pub output_bytes_max: usize,
    /// Most loop turns of one rendering, all loops together.
    pub turns_max: usize,
    /// Most work of one rendering: tags run, keys looked at, bytes read and made by helpers, and a
    /// sixteenth of the bytes written.
    pub work_max: usize,
}

impl Default for Limits {
    /// 64 KiB of text with 2,000 tags, 32 levels; 4 MiB of output, 10,000 turns, 16 Mi of work.
    fn default() -> Limits {
        Limits {
            source_bytes_max: 64 << 10,
            tags_max: 2_000,
            depth_max: 32,
            output_bytes_max: 4 << 20,
            turns_max: 10_000,
            work_max: 16 << 20,
        }
    }
}
