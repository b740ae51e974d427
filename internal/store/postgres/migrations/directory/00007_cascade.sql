-- What resources inherit (package cascadesql): the own documents of those that do, what removed
-- resources belonged to and used, and the rows of an unfinished cascade. Tombstones that are
-- already stored have no own state: they hide nothing.

-- +goose Up
CREATE TABLE own_form (
  row_key  bigint PRIMARY KEY,
  tail     text COMPRESSION lz4 NOT NULL,
  checksum bigint NOT NULL
);
CREATE TABLE removed_reference (
  row_key        bigint NOT NULL,
  param          bigint NOT NULL,
  id             text COLLATE "C" NOT NULL,
  own_visibility bigint NOT NULL,
  PRIMARY KEY (row_key, param, id)
);
CREATE INDEX removed_reference_value ON removed_reference (param, id, row_key);
CREATE TABLE cascade (
  row_key bigint PRIMARY KEY,
  level   bigint NOT NULL,
  touched bigint NOT NULL,
  done    bigint NOT NULL
);
CREATE INDEX cascade_open ON cascade (level, row_key) WHERE done = 0;
ALTER TABLE tombstone ADD COLUMN own_visibility bigint NOT NULL DEFAULT 0;
-- The rows by which a lost table is noticed (00006_markers.sql).
INSERT INTO own_form (row_key, tail, checksum) VALUES (0, '', 0);
INSERT INTO removed_reference (row_key, param, id, own_visibility) VALUES (0, 0, '', 0);
INSERT INTO cascade (row_key, level, touched, done) VALUES (0, 0, 0, 1);
-- The flags of the state are more than two now, and need not be of the row that gave them.
ALTER TABLE resource DROP COLUMN inherited_from;

-- +goose Down
ALTER TABLE resource ADD COLUMN inherited_from bigint;
ALTER TABLE tombstone DROP COLUMN own_visibility;
DROP TABLE cascade;
DROP TABLE removed_reference;
DROP TABLE own_form;
