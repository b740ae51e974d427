-- The checksums of versions, and the numbers of resources by type and visibility. Both detect
-- damage. Versions that are already stored have no checksum until the directory is reindexed.

-- +goose Up
ALTER TABLE resource ADD COLUMN checksum INTEGER;
ALTER TABLE history ADD COLUMN id TEXT    NOT NULL DEFAULT '';
ALTER TABLE history ADD COLUMN last_updated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN checksum INTEGER;
CREATE TABLE resource_count (
  type       INTEGER NOT NULL,
  visibility INTEGER NOT NULL,
  number     INTEGER NOT NULL,
  PRIMARY KEY (type, visibility)
) STRICT, WITHOUT ROWID;
INSERT INTO resource_count (type, visibility, number) SELECT type, visibility, count(*) FROM resource GROUP BY type, visibility;

-- +goose Down
DROP TABLE resource_count;
ALTER TABLE history DROP COLUMN checksum;
ALTER TABLE history DROP COLUMN last_updated;
ALTER TABLE history DROP COLUMN id;
ALTER TABLE resource DROP COLUMN checksum;
