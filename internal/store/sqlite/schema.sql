-- The schema of directory.db after all migrations. Written by: go test ./internal/store/sqlite -run TestSchema -update

CREATE TABLE cascade (
  row_key INTEGER PRIMARY KEY,
  level   INTEGER NOT NULL,
  touched INTEGER NOT NULL,
  done    INTEGER NOT NULL
) STRICT;

CREATE INDEX cascade_open ON cascade (level, row_key) WHERE done = 0;

CREATE TABLE change (
  committed INTEGER NOT NULL,                      -- ms
  row_key   INTEGER NOT NULL,
  what      INTEGER NOT NULL,                      -- flags of store.What
  PRIMARY KEY (committed, row_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE clock (
  id   INTEGER PRIMARY KEY CHECK (id = 1),
  last INTEGER NOT NULL
) STRICT;

CREATE TABLE doc (
  row_key INTEGER PRIMARY KEY,
  body    BLOB NOT NULL
) STRICT;

CREATE TABLE history (
  row_key    INTEGER NOT NULL,
  version    INTEGER NOT NULL,
  committed  INTEGER NOT NULL,
  superseded INTEGER NOT NULL,                     -- ms; when the next version or the removal was committed
  visibility INTEGER NOT NULL,
  size       INTEGER NOT NULL,
  body       BLOB    NOT NULL
, id TEXT    NOT NULL DEFAULT '', last_updated INTEGER NOT NULL DEFAULT 0, checksum INTEGER) STRICT;

CREATE UNIQUE INDEX history_version ON history (row_key, version);

CREATE TABLE ix_date (
  row_key INTEGER NOT NULL,
  param   INTEGER NOT NULL,
  low     INTEGER NOT NULL,                        -- ms; the first moment inside
  high    INTEGER NOT NULL,                        -- ms; the first moment after
  PRIMARY KEY (row_key, param, low, high)
) STRICT, WITHOUT ROWID;

CREATE INDEX ix_date_value ON ix_date (param, low, high, row_key);

CREATE TABLE ix_gram (
  param   INTEGER NOT NULL,
  gram    TEXT    NOT NULL,
  text_id INTEGER NOT NULL,
  PRIMARY KEY (param, gram, text_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE ix_number (
  row_key INTEGER NOT NULL,
  param   INTEGER NOT NULL,
  value   INTEGER NOT NULL,
  PRIMARY KEY (row_key, param, value)
) STRICT, WITHOUT ROWID;

CREATE INDEX ix_number_value ON ix_number (param, value, row_key);

CREATE TABLE ix_position (
  row_key INTEGER NOT NULL,
  param   INTEGER NOT NULL,
  cell    INTEGER NOT NULL,                        -- S2 cell id of the leaf, as a signed number
  lat     REAL    NOT NULL,                        -- degrees
  lon     REAL    NOT NULL,
  PRIMARY KEY (row_key, param, cell, lat, lon)
) STRICT, WITHOUT ROWID;

CREATE INDEX ix_position_value ON ix_position (param, cell, lat, lon, row_key);

CREATE TABLE ix_reference (
  row_key INTEGER NOT NULL,
  param   INTEGER NOT NULL,
  id      TEXT    NOT NULL,
  type    INTEGER NOT NULL,                        -- name_id of the type name
  PRIMARY KEY (row_key, param, id, type)
) STRICT, WITHOUT ROWID;

CREATE INDEX ix_reference_value ON ix_reference (param, id, type, row_key);

CREATE TABLE ix_string (
  row_key INTEGER NOT NULL,
  param   INTEGER NOT NULL,
  norm    TEXT    NOT NULL,
  exact   TEXT    NOT NULL,
  PRIMARY KEY (row_key, param, norm, exact)
) STRICT, WITHOUT ROWID;

CREATE INDEX ix_string_value ON ix_string (param, norm, exact, row_key);

CREATE TABLE ix_text (
  text_id INTEGER PRIMARY KEY,
  param   INTEGER NOT NULL,
  norm    TEXT    NOT NULL,
  UNIQUE (param, norm)
) STRICT;

CREATE TABLE ix_token (
  row_key INTEGER NOT NULL,
  param   INTEGER NOT NULL,
  code    TEXT    NOT NULL,
  system  INTEGER NOT NULL,                        -- name_id; the name is empty for a token without system
  PRIMARY KEY (row_key, param, code, system)
) STRICT, WITHOUT ROWID;

CREATE INDEX ix_token_value ON ix_token (param, code, system, row_key);

CREATE TABLE ix_uri (
  row_key INTEGER NOT NULL,
  param   INTEGER NOT NULL,
  value   TEXT    NOT NULL,
  PRIMARY KEY (row_key, param, value)
) STRICT, WITHOUT ROWID;

CREATE INDEX ix_uri_value ON ix_uri (param, value, row_key);

CREATE TABLE meta (
  key   TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE name (
  name_id INTEGER PRIMARY KEY,
  text    TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE own_form (
  row_key  INTEGER PRIMARY KEY,
  tail     BLOB    NOT NULL,                       -- of the own document, after lastUpdated
  checksum INTEGER NOT NULL
) STRICT;

CREATE TABLE removed_reference (
  row_key        INTEGER NOT NULL,
  param          INTEGER NOT NULL,
  id             TEXT    NOT NULL,
  own_visibility INTEGER NOT NULL,
  PRIMARY KEY (row_key, param, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX removed_reference_value ON removed_reference (param, id, row_key);

CREATE TABLE resource (
  row_key              INTEGER PRIMARY KEY,
  type                 INTEGER NOT NULL,
  id                   TEXT    NOT NULL,
  version              INTEGER NOT NULL,
  committed            INTEGER NOT NULL,           -- ms; when this version was written
  last_updated         INTEGER NOT NULL,           -- ms; meta.lastUpdated
  visibility           INTEGER NOT NULL,           -- own and inherited flags together
  own_visibility       INTEGER NOT NULL,
  inherited_visibility INTEGER NOT NULL DEFAULT 0,
  size                 INTEGER NOT NULL,           -- bytes of the line with its newline
  source_hash          BLOB    NOT NULL
, checksum INTEGER) STRICT;

CREATE INDEX resource_committed ON resource (type, committed);

CREATE UNIQUE INDEX resource_id ON resource (type, id);

CREATE INDEX resource_updated ON resource (type, last_updated);

CREATE TABLE resource_count (
  type       INTEGER NOT NULL,
  visibility INTEGER NOT NULL,
  number     INTEGER NOT NULL,
  PRIMARY KEY (type, visibility)
) STRICT, WITHOUT ROWID;

CREATE TABLE restored (
  taken INTEGER PRIMARY KEY,                       -- ms; last time of the clock in the backup
  used  INTEGER                                    -- ms; first time that the clock of the copy has issued
) STRICT;

CREATE TABLE sequence (
  type INTEGER PRIMARY KEY,
  last INTEGER NOT NULL
) STRICT;

CREATE TABLE swept (
  type      INTEGER PRIMARY KEY,
  version   INTEGER NOT NULL,
  committed INTEGER NOT NULL
) STRICT;

CREATE TABLE tombstone (
  type      INTEGER NOT NULL,
  id        TEXT    NOT NULL,
  version   INTEGER NOT NULL,                      -- of the removal: one more than the last version
  row_key   INTEGER NOT NULL,
  committed INTEGER NOT NULL, own_visibility INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (type, id, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX tombstone_committed ON tombstone (committed);
