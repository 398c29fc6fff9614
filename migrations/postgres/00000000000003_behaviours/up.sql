-- What a webhook with ordering or de-duplication asks for: null for all others. seq is the place of
-- a delivery among those with its keys.
ALTER TABLE deliveries ADD COLUMN seq BIGINT;
ALTER TABLE deliveries ADD COLUMN order_key TEXT;
-- Failed attempts after which it no longer holds those behind it back.
ALTER TABLE deliveries ADD COLUMN order_attempts BIGINT;
ALTER TABLE deliveries ADD COLUMN dedupe_key TEXT;
-- Another delivery with its key that was made since then makes it a duplicate.
ALTER TABLE deliveries ADD COLUMN dedupe_since BIGINT;

CREATE INDEX deliveries_ordered ON deliveries (webhook_id, order_key, seq)
    WHERE order_key IS NOT NULL AND state IN ('pending', 'in_flight');
CREATE INDEX deliveries_deduped ON deliveries (webhook_id, dedupe_key, created_at)
    WHERE dedupe_key IS NOT NULL;

-- Since when a webhook has nothing but failed, and when its tenant was told.
ALTER TABLE webhooks ADD COLUMN failing_since BIGINT;
ALTER TABLE webhooks ADD COLUMN failing_told_at BIGINT;
-- Only probes are sent to it.
ALTER TABLE webhooks ADD COLUMN probed BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX webhooks_failing ON webhooks (failing_since) WHERE failing_since IS NOT NULL;
