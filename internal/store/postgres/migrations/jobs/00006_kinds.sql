-- The kind of a part, and the lines of the parts that are not resources of the selection, until
-- their files are written. The columns are those of
-- ../../../sqlite/migrations/jobs/00007_kinds.sql.

-- +goose Up
ALTER TABLE part ADD COLUMN kind text COLLATE "C" NOT NULL DEFAULT 'rows';

CREATE TABLE part_content (
  job_id  text   COLLATE "C" NOT NULL REFERENCES job (id) ON DELETE CASCADE,
  number  bigint NOT NULL,
  content bytea  NOT NULL,            -- a checksum, then NDJSON as a gzip stream
  PRIMARY KEY (job_id, number)
);
-- A row in a table that may have no other (00005_markers.sql).
INSERT INTO part_content (job_id, number, content) VALUES ('', 0, '');

-- +goose Down
DROP TABLE part_content;
ALTER TABLE part DROP COLUMN kind;
