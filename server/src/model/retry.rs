//! When to try again.

use serde::{Deserialize, Serialize};

/// Which answers are tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Statuses {
    /// Whatever was no success, but 410.
    #[default]
    Default,
    /// 408, 425, 429, 5xx and network errors.
    Transient,
}

/// What a webhook or profile says about retries; what it leaves out comes from below.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrySpec {
    /// Waits in seconds between attempts. Where it is shorter than `attempts_max` needs, its last
    /// wait repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_s: Option<Vec<u32>>,
    /// Attempts in all, the first included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_max: Option<u32>,
    /// Share of a wait that is drawn at random on top or off, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statuses: Option<Statuses>,
}

/// A complete retry policy.
#[derive(Clone, PartialEq, Debug)]
pub struct Retry {
    pub schedule_s: Vec<u32>,
    pub attempts_max: u32,
    pub jitter: f64,
    pub statuses: Statuses,
}

impl RetrySpec {
    /// `self`, and where it is silent `below`. A schedule without `attempts_max` means one more
    /// attempt than it has waits.
    #[must_use]
    pub fn over(&self, below: &Retry) -> Retry {
        let attempts_max = match (self.attempts_max, &self.schedule_s) {
            (Some(attempts_max), _) => attempts_max,
            (None, Some(schedule_s)) => u32::try_from(schedule_s.len()).unwrap_or(u32::MAX - 1) + 1,
            (None, None) => below.attempts_max,
        };
        Retry {
            schedule_s: self.schedule_s.clone().unwrap_or_else(|| below.schedule_s.clone()),
            attempts_max,
            jitter: self.jitter.unwrap_or(below.jitter),
            statuses: self.statuses.unwrap_or(below.statuses),
        }
    }

    /// What is wrong, as a path below `retry` and a sentence.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        let mut errors = Vec::new();
        if self.attempts_max == Some(0) {
            errors.push(("/attempts_max", "counts the first attempt and is 1 or more".to_owned()));
        }
        if self.attempts_max.is_some_and(|n| n > 1000) {
            errors.push(("/attempts_max", "is 1000 at most".to_owned()));
        }
        if self.schedule_s.as_ref().is_some_and(|s| s.len() > 100) {
            errors.push(("/schedule_s", "has 100 waits at most".to_owned()));
        }
        if self.jitter.is_some_and(|j| !(0.0..=1.0).contains(&j)) {
            errors.push(("/jitter", "is a share from 0 to 1".to_owned()));
        }
        errors
    }
}
