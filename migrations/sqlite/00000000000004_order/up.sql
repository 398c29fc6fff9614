-- Numbers that are given once, in the order of commits: deliveries.seq.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) SELECT 'delivery_seq', coalesce(max(seq), 0) FROM deliveries;
