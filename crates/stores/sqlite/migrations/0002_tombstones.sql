-- What is left of erased calls. `id` is a hash of the room's name.
CREATE TABLE tombstones (
    id       TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL
) STRICT;

-- Rows of a table without rowids move between pages of its tree and can leave copies behind, whatever
-- is deleted later.
CREATE TABLE lines (
    room_name TEXT    NOT NULL,
    number    INTEGER NOT NULL,
    speaker   TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    text      TEXT    NOT NULL,
    UNIQUE (room_name, number)
) STRICT;
INSERT INTO lines (room_name, number, speaker, at, text)
    SELECT room_name, number, speaker, at, text FROM transcript_lines ORDER BY room_name, number;
DROP TABLE transcript_lines;
ALTER TABLE lines RENAME TO transcript_lines;
CREATE INDEX transcript_lines_by_time ON transcript_lines (room_name, at);
