-- Facts about the job store: the token of the directory that it belongs to, which stands in
-- directory.db too.

-- +goose Up
CREATE TABLE meta (
  key   TEXT PRIMARY KEY NOT NULL,
  value TEXT NOT NULL
) STRICT;

-- +goose Down
DROP TABLE meta;
