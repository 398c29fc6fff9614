//! Figures as people read them.

/// What one line of the table says.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) deliveries: usize,
    pub(crate) took_s: f64,
    pub(crate) server_us: u64,
    /// None: it has no database of its own process.
    pub(crate) database_us: Option<u64>,
    /// Nanoseconds from POST to receipt, one for each delivery.
    pub(crate) took_ns: Vec<u64>,
    pub(crate) rss_max_kib: u64,
}

impl Line {
    pub(crate) fn heading() -> String {
        format!(
            "{:<46} {:>9} {:>8} {:>8} {:>9} {:>9} {:>8}",
            "", "per s", "CPU µs", "database", "p50 ms", "p99 ms", "RSS MiB"
        )
    }

    /// CPU of server and database for one delivery, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        per(self.server_us + self.database_us.unwrap_or(0), self.deliveries)
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        quantile_ms(&self.took_ns, 0.99)
    }
}

/// Of times in nanoseconds the one that this share of them does not exceed, in milliseconds.
pub(crate) fn quantile_ms(took_ns: &[u64], share: f64) -> f64 {
    let mut sorted = took_ns.to_vec();
    sorted.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index from a share of a length"
    )]
    let at = (sorted.len().saturating_sub(1) as f64 * share) as usize;
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of minutes")]
    let ms = sorted.get(at).copied().unwrap_or(0) as f64 / 1e6;
    ms
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "counts of some thousands")]
        let per_s = self.deliveries as f64 / self.took_s;
        let database = self
            .database_us
            .map_or("-".to_owned(), |us| format!("{:.1}", per(us, self.deliveries)));
        write!(
            f,
            "{:<46} {per_s:>9.0} {:>8.1} {database:>8} {:>9.2} {:>9.2} {:>8}",
            self.name,
            per(self.server_us, self.deliveries),
            quantile_ms(&self.took_ns, 0.5),
            self.p99_ms(),
            self.rss_max_kib >> 10,
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of minutes")]
fn per(us: u64, count: usize) -> f64 {
    us as f64 / count.max(1) as f64
}
