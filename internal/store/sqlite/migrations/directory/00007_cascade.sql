-- What resources inherit (package cascadesql): the own documents of those that do, what removed
-- resources belonged to and used, and the rows of an unfinished cascade. Tombstones that are
-- already stored have no own state: they hide nothing.

-- +goose Up
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
CREATE TABLE cascade (
  row_key INTEGER PRIMARY KEY,
  level   INTEGER NOT NULL,
  touched INTEGER NOT NULL,
  done    INTEGER NOT NULL
) STRICT;
CREATE INDEX cascade_open ON cascade (level, row_key) WHERE done = 0;
ALTER TABLE tombstone ADD COLUMN own_visibility INTEGER NOT NULL DEFAULT 0;
-- The flags of the state are more than two now, and need not be of the row that gave them.
ALTER TABLE resource DROP COLUMN inherited_from;

-- +goose Down
ALTER TABLE resource ADD COLUMN inherited_from INTEGER;
ALTER TABLE tombstone DROP COLUMN own_visibility;
DROP TABLE cascade;
DROP TABLE removed_reference;
DROP TABLE own_form;
