-- What exports held whose clients want to know what leaves their filters. The columns are those of
-- ../../../sqlite/migrations/jobs/00008_members.sql.

-- +goose Up
ALTER TABLE job ADD COLUMN membership text COLLATE "C" NOT NULL DEFAULT '';

CREATE TABLE members (
  time    bigint PRIMARY KEY,               -- transaction time of the export
  owner   text   COLLATE "C" NOT NULL,
  client  text   COLLATE "C" NOT NULL,
  filters text   COLLATE "C" NOT NULL,      -- digest
  job_id  text   COLLATE "C" NOT NULL,      -- until the export is complete, then empty
  used    bigint NOT NULL,                  -- ms; last use
  size    bigint NOT NULL,                  -- bytes that it counts with
  keys    bytea  NOT NULL                   -- a checksum, then a roaring bitmap of row keys
);

-- They order and sum up the sets without reading the keys.
CREATE INDEX members_client ON members (owner, client, used, time, size);
CREATE INDEX members_used ON members (used, time, size);
CREATE INDEX members_open ON members (job_id) WHERE job_id <> '';

-- A row in a table that may have no other (00005_markers.sql).
INSERT INTO members (time, owner, client, filters, job_id, used, size, keys) VALUES (0, '', '', '', '', 0, 0, '');

-- +goose Down
DROP TABLE members;
ALTER TABLE job DROP COLUMN membership;
