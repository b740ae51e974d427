-- The tables have the columns of ../../../sqlite/migrations/jobs/00001_jobs.sql, since the
-- statements are the same (package jobsql): done is a number. They are in the database of
-- the resources: here, a change of a job does not wait for a loader. Differences:
--   INTEGER is bigint, and TEXT that is compared is COLLATE "C", as in the directory.
--   fillfactor: heartbeats update a row many times. The free space on its page stores the
--     new versions, so that the indexes do not grow.

-- +goose Up
CREATE TABLE job (
  id         text   COLLATE "C" PRIMARY KEY,
  owner      text   COLLATE "C" NOT NULL,
  state      text   COLLATE "C" NOT NULL,
  request    bytea  NOT NULL,
  created    bigint NOT NULL,
  time       bigint NOT NULL DEFAULT 0,  -- T, provisional while selecting
  progress   bigint NOT NULL,
  finished   bigint NOT NULL DEFAULT 0,
  expires    bigint NOT NULL DEFAULT 0,
  total      bigint NOT NULL DEFAULT -1,
  found      bigint NOT NULL DEFAULT 0,  -- by the selection; parts count their own
  started    bigint NOT NULL DEFAULT 0,
  reason     text   NOT NULL DEFAULT '',
  polled     bigint NOT NULL DEFAULT 0,
  next_poll  bigint NOT NULL DEFAULT 0,
  -- the claim of the selection
  worker     text   COLLATE "C" NOT NULL DEFAULT '',
  fence      bigint NOT NULL DEFAULT 0,
  lease      bigint NOT NULL DEFAULT 0,  -- held until then
  retry      bigint NOT NULL DEFAULT 0,  -- not to be claimed before
  attempts   bigint NOT NULL DEFAULT 0,
  turn       bigint NOT NULL DEFAULT 0   -- number of the last claim of a part: the lowest is next
) WITH (fillfactor = 50);

CREATE INDEX job_state ON job (state, created);

CREATE TABLE selection (
  job_id     text   COLLATE "C" NOT NULL REFERENCES job (id) ON DELETE CASCADE,
  type       bigint NOT NULL,
  keys       bytea  NOT NULL,            -- roaring bitmap of row keys
  PRIMARY KEY (job_id, type)
);

CREATE TABLE part (
  job_id     text   COLLATE "C" NOT NULL REFERENCES job (id) ON DELETE CASCADE,
  number     bigint NOT NULL,
  file       text   COLLATE "C" NOT NULL UNIQUE,
  type       bigint NOT NULL,
  first      bigint NOT NULL,
  last       bigint NOT NULL,
  count      bigint NOT NULL,            -- planned
  bytes      bigint NOT NULL,            -- planned
  found      bigint NOT NULL DEFAULT 0,  -- written so far by the current claim
  done       bigint NOT NULL DEFAULT 0,
  object     text   COLLATE "C" NOT NULL DEFAULT '',
  written       bigint NOT NULL DEFAULT 0,
  written_bytes bigint NOT NULL DEFAULT 0,
  gzip_bytes    bigint NOT NULL DEFAULT 0,
  sha256        text   NOT NULL DEFAULT '',
  fragments     bytea  NOT NULL DEFAULT '',
  worker     text   COLLATE "C" NOT NULL DEFAULT '',
  fence      bigint NOT NULL DEFAULT 0,
  lease      bigint NOT NULL DEFAULT 0,
  retry      bigint NOT NULL DEFAULT 0,
  attempts   bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (job_id, number)
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE part;
DROP TABLE selection;
DROP TABLE job;
