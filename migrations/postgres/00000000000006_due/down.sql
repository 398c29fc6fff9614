DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
DROP INDEX deliveries_waiting;
CREATE INDEX deliveries_waiting ON deliveries (webhook_id) WHERE state = 'pending';
