-- What a sweep of old removals leaves behind, and the backups that the directory was restored from.

-- +goose Up
CREATE INDEX tombstone_committed ON tombstone (committed);

-- The highest version and the latest commit time of the tombstones that were swept. A resource that
-- is created begins above the version.
CREATE TABLE swept (
  type      INTEGER PRIMARY KEY,
  version   INTEGER NOT NULL,
  committed INTEGER NOT NULL
) STRICT;

CREATE TABLE restored (
  taken INTEGER PRIMARY KEY,                       -- ms; last time of the clock in the backup
  used  INTEGER                                    -- ms; first time that the clock of the copy has issued
) STRICT;

-- +goose Down
DROP TABLE restored;
DROP TABLE swept;
DROP INDEX tombstone_committed;
