-- How often an event has come back through deliveries, and the digest of the event that it began with: null for
-- one that has not.
ALTER TABLE events ADD COLUMN hops BIGINT;
ALTER TABLE events ADD COLUMN root BIGINT;
-- Deliveries of the whole request, where others of its events have some too.
ALTER TABLE events ADD COLUMN fanout BIGINT;
-- Long bodies, compressed: that of the frozen request, relative to the event's data, and that of the response.
ALTER TABLE attempts ADD COLUMN frozen_body BLOB;
ALTER TABLE attempts ADD COLUMN response_packed BLOB;
