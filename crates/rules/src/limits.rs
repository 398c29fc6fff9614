//! Limits on the size of a pattern, so that no rule costs more than its share.

/// Limits on the size of a pattern. The defaults are far above what people write by hand; only lists of
/// values that a user picks (inboxes, labels) grow large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Levels of objects, `$or` branches included.
    pub depth_max: usize,
    /// Fields with a list of values, over all `$or` branches. At most 65,535.
    pub fields_max: usize,
    /// Values and operators in all lists, also those inside `anything-but`.
    pub values_max: usize,
    /// Combinations that the `$or`s multiply out to (EventBridge has the same bound).
    pub alternatives_max: usize,
    /// `wildcard` values in the pattern.
    pub wildcards_max: usize,
    /// `*` in one `wildcard` value.
    pub stars_max: usize,
    /// Bytes of a string or number in a list.
    pub value_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            depth_max: 32,
            fields_max: 200,
            values_max: 5_000,
            alternatives_max: 1_000,
            wildcards_max: 100,
            stars_max: 16,
            value_bytes_max: 4_096,
        }
    }
}
