-- Times are nanoseconds since 1970, UTC: exact, and in order.

-- A call is its JSON document and the columns that queries need. Of version, owner and due_at the
-- columns are the truth, the document only repeats what they were when it was saved: a claim need
-- not rewrite it.
CREATE TABLE calls (
    room_name    TEXT    NOT NULL UNIQUE,
    account_id   TEXT    NOT NULL,
    assistant_id TEXT    NOT NULL,
    trunk_id     TEXT    NOT NULL,
    to_number    TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    status       TEXT    NOT NULL,
    outcome      TEXT,
    occupies     INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    owner        TEXT,
    due_at       INTEGER,
    document     TEXT    NOT NULL
) STRICT;

-- Lists: newest first, each filter has an index that ends in the list's order.
CREATE INDEX calls_of_account   ON calls (account_id, created_at, room_name);
CREATE INDEX calls_of_assistant ON calls (account_id, assistant_id, created_at, room_name);
CREATE INDEX calls_to_number    ON calls (account_id, to_number, created_at, room_name);
CREATE INDEX calls_running      ON calls (account_id, status, created_at, room_name)
    WHERE status <> 'ended';
CREATE INDEX calls_by_outcome   ON calls (account_id, outcome, created_at, room_name)
    WHERE outcome IS NOT NULL;

-- Work: what is due and free, what each node owns, what fills a trunk.
CREATE INDEX calls_due          ON calls (due_at) WHERE owner IS NULL AND due_at IS NOT NULL;
CREATE INDEX calls_owned        ON calls (owner, due_at) WHERE owner IS NOT NULL;
CREATE INDEX calls_on_trunk     ON calls (trunk_id) WHERE occupies = 1;

CREATE TABLE idempotency_keys (
    account_id  TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    room_name   TEXT    NOT NULL,
    expires_at  INTEGER NOT NULL,
    UNIQUE (account_id, key)
) STRICT;
CREATE INDEX idempotency_keys_by_end ON idempotency_keys (expires_at);

CREATE TABLE nodes (
    node_id     TEXT    PRIMARY KEY,
    alive_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last moment reserved for a start on each trunk.
CREATE TABLE trunk_starts (
    trunk_id TEXT    PRIMARY KEY,
    last     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE transcript_lines (
    room_name TEXT    NOT NULL,
    number    INTEGER NOT NULL,
    speaker   TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    text      TEXT    NOT NULL,
    PRIMARY KEY (room_name, number)
) STRICT, WITHOUT ROWID;
-- Finds a repeated line without an index over texts.
CREATE INDEX transcript_lines_by_time ON transcript_lines (room_name, at);

CREATE TABLE deliveries (
    delivery_id TEXT    NOT NULL UNIQUE,
    room_name   TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    document    TEXT    NOT NULL
) STRICT;
CREATE INDEX deliveries_of_call ON deliveries (room_name, at);

CREATE TABLE accounts (
    account_id TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL UNIQUE,
    document   TEXT    NOT NULL
) STRICT;

CREATE TABLE api_keys (
    id         TEXT    NOT NULL UNIQUE,
    account_id TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    document   TEXT    NOT NULL
) STRICT;
CREATE INDEX api_keys_of_account ON api_keys (account_id, created_at, id);

CREATE TABLE assistants (
    id         TEXT    NOT NULL UNIQUE,
    account_id TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    document   TEXT    NOT NULL
) STRICT;
CREATE INDEX assistants_of_account ON assistants (account_id, created_at, id);

CREATE TABLE trunks (
    id         TEXT    NOT NULL UNIQUE,
    account_id TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    document   TEXT    NOT NULL
) STRICT;
CREATE INDEX trunks_of_account ON trunks (account_id, created_at, id);

-- One row that a health check writes.
CREATE TABLE health (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    checked_at INTEGER NOT NULL
) STRICT;
