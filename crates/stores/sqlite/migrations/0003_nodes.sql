-- Nodes say more of themselves. Whoever migrates a file has it alone: all that were in it are dead.
DROP TABLE nodes;
CREATE TABLE nodes (
    node_id     TEXT    NOT NULL UNIQUE,
    alive_until INTEGER NOT NULL,
    document    TEXT    NOT NULL
) STRICT;

-- Calls that somebody changed who does not own them.
ALTER TABLE calls ADD COLUMN attention INTEGER NOT NULL DEFAULT 0;
CREATE INDEX calls_with_attention ON calls (owner) WHERE attention = 1;

-- The key that made a call, for exports and erasures.
CREATE INDEX idempotency_keys_of_call ON idempotency_keys (room_name);

-- What all nodes have to agree on; the first value stays.
CREATE TABLE agreements (
    name  TEXT NOT NULL UNIQUE,
    value TEXT NOT NULL
) STRICT;
