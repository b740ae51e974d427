-- Table meta holds the token of the directory that the job store belongs to. directory.db
-- has the same token.

-- +goose Up
CREATE TABLE meta (
  key   TEXT PRIMARY KEY NOT NULL,
  value TEXT NOT NULL
) STRICT;

-- +goose Down
DROP TABLE meta;
