-- What exports held whose clients want to know what leaves their filters
-- (docs/decisions/0028-membership.md): row keys, kept after the export is deleted. No two exports
-- have the same transaction time. Column membership is what an export tells about that.

-- +goose Up
ALTER TABLE job ADD COLUMN membership TEXT NOT NULL DEFAULT '';

CREATE TABLE members (
  time    INTEGER PRIMARY KEY,         -- transaction time of the export
  owner   TEXT    NOT NULL,
  client  TEXT    NOT NULL,
  filters TEXT    NOT NULL,            -- digest
  job_id  TEXT    NOT NULL,            -- until the export is complete, then empty
  used    INTEGER NOT NULL,            -- ms; last use
  size    INTEGER NOT NULL,            -- bytes that it counts with
  keys    BLOB    NOT NULL             -- a checksum, then a roaring bitmap of row keys
) STRICT;

-- They order and sum up the sets without reading the keys.
CREATE INDEX members_client ON members (owner, client, used, time, size);
CREATE INDEX members_used ON members (used, time, size);
CREATE INDEX members_open ON members (job_id) WHERE job_id <> '';

-- +goose Down
DROP TABLE members;
ALTER TABLE job DROP COLUMN membership;
