-- Calls and events that were refused, for a day.
CREATE TABLE rejections (
    id BLOB NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    -- NULL: posted as events.
    source_id BLOB,
    rejected_at BIGINT NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    errors TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    query TEXT NOT NULL,
    headers TEXT NOT NULL,
    -- NULL: too long to be kept.
    body BLOB,
    body_bytes BIGINT NOT NULL
);
CREATE INDEX rejections_by_time ON rejections (tenant, rejected_at, id);
CREATE INDEX rejections_old ON rejections (rejected_at);
-- Sources made before took calls with any method.
UPDATE sources SET spec = '{"methods":["*"],' || substr(spec, 2) WHERE spec NOT LIKE '%"methods":%';
