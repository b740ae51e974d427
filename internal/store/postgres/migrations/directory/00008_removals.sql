-- What a sweep of old removals leaves behind, and the backups that the directory was restored from.

-- +goose Up
CREATE INDEX tombstone_committed ON tombstone (committed);

-- The highest version and the latest commit time of the tombstones that were swept. A resource that
-- is created begins above the version.
CREATE TABLE swept (
  type      bigint PRIMARY KEY,
  version   bigint NOT NULL,
  committed bigint NOT NULL
);

CREATE TABLE restored (
  taken bigint PRIMARY KEY,                        -- ms; last time of the clock in the backup
  used  bigint                                     -- ms; first time that the clock of the copy has issued
);

-- The rows that show that the data of a table are not lost (00006_markers.sql). No time is in the
-- period from 0 to 0.
INSERT INTO swept (type, version, committed) VALUES (0, 0, 0);
INSERT INTO restored (taken, used) VALUES (0, 0);

-- +goose Down
DROP TABLE restored;
DROP TABLE swept;
DROP INDEX tombstone_committed;
