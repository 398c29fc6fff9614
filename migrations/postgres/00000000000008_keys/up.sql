-- Only deliveries that others of their key wait for. Those that gave way stay pending for long, and may be many.
DROP INDEX deliveries_ordered;
CREATE INDEX deliveries_ordered ON deliveries (webhook_id, order_key, seq)
    WHERE order_key IS NOT NULL AND state IN ('pending', 'in_flight') AND order_attempts > attempts - schedule_start;
-- Only deliveries that make another one a duplicate. The dropped ones of a key may be many.
DROP INDEX deliveries_deduped;
CREATE INDEX deliveries_deduped ON deliveries (webhook_id, dedupe_key, created_at)
    WHERE dedupe_key IS NOT NULL AND state IN ('pending', 'in_flight', 'delivered');
