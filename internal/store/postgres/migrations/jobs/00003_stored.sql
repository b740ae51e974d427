-- The bytes on disk of the files of a complete job, for the limits of all files.

-- +goose Up
ALTER TABLE job ADD COLUMN stored bigint NOT NULL DEFAULT 0;
UPDATE job SET stored = (SELECT coalesce(sum(p.gzip_bytes), 0) FROM part p WHERE p.job_id = job.id) WHERE state = 'complete';
CREATE INDEX job_stored ON job (state, expires, stored);

-- +goose Down
DROP INDEX job_stored;
ALTER TABLE job DROP COLUMN stored;
