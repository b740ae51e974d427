-- How long the selection of a job has run, and how long workers have worked for each client in
-- the last minutes, by minute. The columns are those of
-- ../../../sqlite/migrations/jobs/00005_turns.sql.

-- +goose Up
ALTER TABLE job ADD COLUMN selected bigint NOT NULL DEFAULT 0;             -- ms, in slices without a result
ALTER TABLE job ADD COLUMN charged  bigint NOT NULL DEFAULT 0;             -- until when its claim is counted
ALTER TABLE part ADD COLUMN charged bigint NOT NULL DEFAULT 0;

CREATE TABLE client_use (
  client text COLLATE "C" NOT NULL,
  minute bigint NOT NULL,  -- its start
  ms     bigint NOT NULL,
  PRIMARY KEY (client, minute)
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE client_use;
ALTER TABLE part DROP COLUMN charged;
ALTER TABLE job DROP COLUMN charged;
ALTER TABLE job DROP COLUMN selected;
