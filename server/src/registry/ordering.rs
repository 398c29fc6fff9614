//! Checks and compiles a webhook's delay, ordering and deduplication.

use antar_template::{ContentType, Place, Template};

use super::compile::Check;
use crate::model::{Ordering, PerKey, WebhookSpec};
use crate::pipeline::compiled::webhook::{DedupePlan, OrderPlan};

/// Delay in milliseconds, ordering and deduplication.
pub(super) type OrderPlans = (i64, Option<OrderPlan>, Option<DedupePlan>);

impl Check<'_> {
    pub(super) fn order(&mut self, spec: &WebhookSpec) -> OrderPlans {
        let config = &self.around.config.delivery;
        let (delay_s_max, window_s_max) = (config.delay_s_max, config.dedupe_window_s_max);
        let delay_s = spec.delay_s.unwrap_or(0);
        if delay_s > delay_s_max {
            let detail = format!("is {delay_s_max} at most (delivery.delay_s_max)");
            self.error("/delay_s", detail);
        }
        let order = match &spec.ordering {
            Ordering::None => None,
            Ordering::PerKey(per_key) => {
                let gives_way_attempts = per_key.gives_way_attempts();
                if !PerKey::ATTEMPTS.contains(&gives_way_attempts) {
                    self.error("/ordering/gives_way_attempts", "is from 1 to 1000");
                }
                let key = per_key.key.as_deref();
                let key = key.and_then(|key| self.key("/ordering/key", key));
                // Errors in the key are recorded already.
                Some(OrderPlan { key, gives_way_attempts })
            }
        };
        let dedupe = spec.dedupe.as_ref().and_then(|dedupe| {
            if dedupe.window_s == 0 || dedupe.window_s > window_s_max {
                let detail = format!("is from 1 to {window_s_max} (delivery.dedupe_window_s_max)");
                self.error("/dedupe/window_s", detail);
            }
            let key = self.key("/dedupe/key", &dedupe.key)?;
            Some(DedupePlan { key, window_ms: ms(dedupe.window_s) })
        });
        (ms(delay_s), order, dedupe)
    }

    fn key(&mut self, pointer: &str, text: &str) -> Option<Template> {
        let template = self.template(pointer, text, &Place::Body(ContentType::Text))?;
        if !template.secrets().is_empty() {
            self.error(pointer, "is stored with the delivery, so it may name no secret");
        }
        if !text.contains("{{") {
            self.error(pointer, "is the same for every event; name what tells them apart, such as {{antar.attributes.subject}}");
        }
        Some(template)
    }
}

fn ms(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX)
}
