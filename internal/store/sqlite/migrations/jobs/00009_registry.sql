-- What the servers of a directory share for their token endpoint (store.Registry).

-- +goose Up
CREATE TABLE registered_client (
  id       TEXT PRIMARY KEY NOT NULL,
  document BLOB NOT NULL,             -- JSON
  seal     BLOB NOT NULL              -- checksum of both
) STRICT;

-- Backups leave these keys out.
CREATE TABLE signing_key (
  number         INTEGER PRIMARY KEY,
  id             TEXT    NOT NULL,
  private        BLOB    NOT NULL,    -- PKCS #8
  created        INTEGER NOT NULL,
  signs_from     INTEGER NOT NULL,
  verifies_until INTEGER NOT NULL
) STRICT;

-- Tokens that may be used once and were used. The row with the empty token has the time until which
-- tokens are forgotten.
CREATE TABLE used_token (
  token       BLOB    PRIMARY KEY NOT NULL, -- hash
  valid_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_token_until ON used_token (valid_until);
INSERT INTO used_token (token, valid_until) VALUES (x'', 0);

-- +goose Down
DROP TABLE used_token;
DROP TABLE signing_key;
DROP TABLE registered_client;
