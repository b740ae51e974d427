-- +goose Up

-- For _lastUpdated in searches and _sort. The parameter reads meta.lastUpdated, which may be the value of the loaded file.
CREATE INDEX resource_updated ON resource (type, last_updated);

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

-- Each text of ix_string once, and its n-grams of up to five characters, for searches with :contains.
CREATE TABLE ix_text (
  text_id INTEGER PRIMARY KEY,
  param   INTEGER NOT NULL,
  norm    TEXT    NOT NULL,
  UNIQUE (param, norm)
) STRICT;

CREATE TABLE ix_gram (
  param   INTEGER NOT NULL,
  gram    TEXT    NOT NULL,
  text_id INTEGER NOT NULL,
  PRIMARY KEY (param, gram, text_id)
) STRICT, WITHOUT ROWID;

INSERT INTO ix_text (param, norm) SELECT DISTINCT param, norm FROM ix_string;
INSERT OR IGNORE INTO ix_gram (param, gram, text_id)
  WITH RECURSIVE place (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM place WHERE n < (SELECT max(length(norm)) FROM ix_text)
  )
  SELECT t.param, substr(t.norm, p.n, 5), t.text_id FROM ix_text AS t CROSS JOIN place AS p ON p.n <= length(t.norm);

-- +goose Down
DROP TABLE ix_gram;
DROP TABLE ix_text;
DROP TABLE ix_position;
DROP TABLE ix_number;
DROP INDEX resource_updated;
