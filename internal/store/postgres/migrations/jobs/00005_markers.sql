-- A row in each table that may have no other, as in the tables of the directory
-- (../directory/00006_markers.sql). The id of a job is never empty, and its state has a name.

-- +goose Up
INSERT INTO job (id, owner, state, request, created, progress) VALUES ('', '', '', '', 0, 0) ON CONFLICT DO NOTHING;
INSERT INTO part (job_id, number, file, type, first, last, count, bytes, done) VALUES ('', 0, '', 0, 0, 0, 0, 0, 1) ON CONFLICT DO NOTHING;
INSERT INTO selection (job_id, type, keys) VALUES ('', 0, '') ON CONFLICT DO NOTHING;

-- +goose Down
DELETE FROM selection WHERE job_id = '';
DELETE FROM part WHERE job_id = '';
DELETE FROM job WHERE id = '';
