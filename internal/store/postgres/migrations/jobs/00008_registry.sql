-- What the servers of a directory share for their token endpoint. The columns are those of
-- ../../../sqlite/migrations/jobs/00009_registry.sql.

-- +goose Up
CREATE TABLE registered_client (
  id       text  COLLATE "C" PRIMARY KEY,
  document bytea NOT NULL,                    -- JSON
  seal     bytea NOT NULL                     -- checksum of both
);
-- A row in a table that may have no other (00005_markers.sql).
INSERT INTO registered_client (id, document, seal) VALUES ('', '', '');

-- Backups leave these keys out, so the table may be empty in a database that was restored.
CREATE TABLE signing_key (
  number         bigint PRIMARY KEY,
  id             text   COLLATE "C" NOT NULL,
  private        bytea  NOT NULL,             -- PKCS #8
  created        bigint NOT NULL,
  signs_from     bigint NOT NULL,
  verifies_until bigint NOT NULL
);

-- Tokens that may be used once and were used. The row with the empty token has the time until which
-- tokens are forgotten; it is also a row in a table that may have no other.
CREATE TABLE used_token (
  token       bytea  PRIMARY KEY,             -- hash
  valid_until bigint NOT NULL
);
CREATE INDEX used_token_until ON used_token (valid_until);
INSERT INTO used_token (token, valid_until) VALUES ('', 0);

-- +goose Down
DROP TABLE used_token;
DROP TABLE signing_key;
DROP TABLE registered_client;
