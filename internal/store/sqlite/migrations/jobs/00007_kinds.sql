-- The kind of a part, and the lines of the parts that are not resources of the selection, until
-- their files are written. The parts of older programs are of resources.

-- +goose Up
ALTER TABLE part ADD COLUMN kind TEXT NOT NULL DEFAULT 'rows';

CREATE TABLE part_content (
  job_id  TEXT    NOT NULL REFERENCES job (id) ON DELETE CASCADE,
  number  INTEGER NOT NULL,
  content BLOB    NOT NULL,            -- a checksum, then NDJSON as a gzip stream
  PRIMARY KEY (job_id, number)
) STRICT;

-- +goose Down
DROP TABLE part_content;
ALTER TABLE part DROP COLUMN kind;
