ALTER TABLE deliveries ADD COLUMN frozen TEXT;
UPDATE deliveries SET frozen = (SELECT a.frozen FROM attempts AS a
    WHERE a.delivery_id = deliveries.id AND a.frozen IS NOT NULL ORDER BY a.number LIMIT 1);
ALTER TABLE attempts DROP COLUMN frozen;
