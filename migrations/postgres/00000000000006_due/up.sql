-- What is due is gone through by the index alone, and what waits for one webhook is found by its time.
DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (next_attempt_at, id, webhook_id, tenant) WHERE next_attempt_at IS NOT NULL;
DROP INDEX deliveries_waiting;
CREATE INDEX deliveries_waiting ON deliveries (webhook_id, next_attempt_at) WHERE state = 'pending';
