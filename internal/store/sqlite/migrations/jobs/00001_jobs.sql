-- Export jobs: one row of fixed size for a job, one for each part, and one for the
-- selected rows of each type. Times are milliseconds since 1970, 0 for "not set".

-- +goose Up
CREATE TABLE job (
  id         TEXT    PRIMARY KEY NOT NULL,
  owner      TEXT    NOT NULL,
  state      TEXT    NOT NULL,
  request    BLOB    NOT NULL,
  created    INTEGER NOT NULL,
  time       INTEGER NOT NULL DEFAULT 0,  -- T, provisional while selecting
  progress   INTEGER NOT NULL,
  finished   INTEGER NOT NULL DEFAULT 0,
  expires    INTEGER NOT NULL DEFAULT 0,
  total      INTEGER NOT NULL DEFAULT -1,
  found      INTEGER NOT NULL DEFAULT 0,  -- by the selection; parts count their own
  started    INTEGER NOT NULL DEFAULT 0,
  reason     TEXT    NOT NULL DEFAULT '',
  polled     INTEGER NOT NULL DEFAULT 0,
  next_poll  INTEGER NOT NULL DEFAULT 0,
  -- the claim of the selection
  worker     TEXT    NOT NULL DEFAULT '',
  fence      INTEGER NOT NULL DEFAULT 0,
  lease      INTEGER NOT NULL DEFAULT 0,  -- held until then
  retry      INTEGER NOT NULL DEFAULT 0,  -- not to be claimed before
  attempts   INTEGER NOT NULL DEFAULT 0,
  turn       INTEGER NOT NULL DEFAULT 0   -- number of the last claim of a part: the lowest is next
) STRICT;

CREATE INDEX job_state ON job (state, created);

CREATE TABLE selection (
  job_id     TEXT    NOT NULL REFERENCES job (id) ON DELETE CASCADE,
  type       INTEGER NOT NULL,
  keys       BLOB    NOT NULL,            -- roaring bitmap of row keys
  PRIMARY KEY (job_id, type)
) STRICT;

CREATE TABLE part (
  job_id     TEXT    NOT NULL REFERENCES job (id) ON DELETE CASCADE,
  number     INTEGER NOT NULL,
  file       TEXT    NOT NULL UNIQUE,
  type       INTEGER NOT NULL,
  first      INTEGER NOT NULL,
  last       INTEGER NOT NULL,
  count      INTEGER NOT NULL,            -- planned
  bytes      INTEGER NOT NULL,            -- planned
  found      INTEGER NOT NULL DEFAULT 0,  -- written so far by the current claim
  done       INTEGER NOT NULL DEFAULT 0,
  object     TEXT    NOT NULL DEFAULT '',
  written       INTEGER NOT NULL DEFAULT 0,
  written_bytes INTEGER NOT NULL DEFAULT 0,
  gzip_bytes    INTEGER NOT NULL DEFAULT 0,
  sha256        TEXT    NOT NULL DEFAULT '',
  fragments     BLOB    NOT NULL DEFAULT x'',
  worker     TEXT    NOT NULL DEFAULT '',
  fence      INTEGER NOT NULL DEFAULT 0,
  lease      INTEGER NOT NULL DEFAULT 0,
  retry      INTEGER NOT NULL DEFAULT 0,
  attempts   INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (job_id, number)
) STRICT;

-- +goose Down
DROP TABLE part;
DROP TABLE selection;
DROP TABLE job;
