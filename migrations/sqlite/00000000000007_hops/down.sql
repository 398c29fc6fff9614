-- Without its body a request is no longer what was sent: the next attempt makes it anew.
UPDATE attempts SET frozen = NULL WHERE frozen_body IS NOT NULL;
ALTER TABLE events DROP COLUMN hops;
ALTER TABLE events DROP COLUMN root;
ALTER TABLE events DROP COLUMN fanout;
ALTER TABLE attempts DROP COLUMN frozen_body;
ALTER TABLE attempts DROP COLUMN response_packed;
