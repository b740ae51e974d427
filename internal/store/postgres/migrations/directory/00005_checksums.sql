-- The checksums of versions, and the numbers of resources by type and visibility. Both detect
-- damage. Versions that are already stored have no checksum until the directory is reindexed.

-- +goose Up
ALTER TABLE resource ADD COLUMN checksum bigint;
ALTER TABLE history ADD COLUMN id text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE history ADD COLUMN last_updated bigint NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN checksum bigint;
CREATE TABLE resource_count (
  type       bigint NOT NULL,
  visibility bigint NOT NULL,
  number     bigint NOT NULL,
  PRIMARY KEY (type, visibility)
);
INSERT INTO resource_count (type, visibility, number) SELECT type, visibility, count(*) FROM resource GROUP BY type, visibility;

-- +goose Down
DROP TABLE resource_count;
ALTER TABLE history DROP COLUMN checksum;
ALTER TABLE history DROP COLUMN last_updated;
ALTER TABLE history DROP COLUMN id;
ALTER TABLE resource DROP COLUMN checksum;
