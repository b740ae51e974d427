-- How long the selection of a job has run, and how long workers have worked for each client in
-- the last minutes, by minute.

-- +goose Up
ALTER TABLE job ADD COLUMN selected INTEGER NOT NULL DEFAULT 0;   -- ms, in slices without a result
ALTER TABLE job ADD COLUMN charged  INTEGER NOT NULL DEFAULT 0;   -- until when its claim is counted
ALTER TABLE part ADD COLUMN charged INTEGER NOT NULL DEFAULT 0;

CREATE TABLE client_use (
  client TEXT    NOT NULL,
  minute INTEGER NOT NULL,  -- its start
  ms     INTEGER NOT NULL,
  PRIMARY KEY (client, minute)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE client_use;
ALTER TABLE part DROP COLUMN charged;
ALTER TABLE job DROP COLUMN charged;
ALTER TABLE job DROP COLUMN selected;
