DROP INDEX deliveries_ordered;
CREATE INDEX deliveries_ordered ON deliveries (webhook_id, order_key, seq)
    WHERE order_key IS NOT NULL AND state IN ('pending', 'in_flight');
DROP INDEX deliveries_deduped;
CREATE INDEX deliveries_deduped ON deliveries (webhook_id, dedupe_key, created_at)
    WHERE dedupe_key IS NOT NULL;
