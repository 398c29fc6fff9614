-- The request that all attempts of a delivery send, beside the first attempt that sent it: rows of
-- deliveries change often, and stay small.
ALTER TABLE attempts ADD COLUMN frozen TEXT;
UPDATE attempts SET frozen = (SELECT d.frozen FROM deliveries AS d WHERE d.id = attempts.delivery_id)
    WHERE number = (SELECT min(a.number) FROM attempts AS a
        WHERE a.delivery_id = attempts.delivery_id AND a.request_method IS NOT NULL);
ALTER TABLE deliveries DROP COLUMN frozen;
