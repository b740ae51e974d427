-- The change log: what each write did, to which resource and when. It begins with this
-- migration. Entries are deleted together with the tombstones of their time.
-- Unlike in SQLite, the entries of one commit share one item of the index, so it has no row_key:
-- the index takes a few bytes for an entry, with row_key as many as the table.

-- +goose Up
CREATE TABLE change (
  committed bigint   NOT NULL,                     -- ms
  row_key   bigint   NOT NULL,
  what      smallint NOT NULL                      -- flags of store.What
);
CREATE INDEX change_committed ON change (committed);
-- The row by which lost data of the table are noticed (00006_markers.sql), later than any time.
INSERT INTO change (committed, row_key, what) VALUES (9223372036854775807, 0, 0);
INSERT INTO meta (key, value) SELECT 'change_log_start', last::text FROM clock WHERE EXISTS (SELECT 1 FROM meta);

-- +goose Down
DELETE FROM meta WHERE key = 'change_log_start';
DROP TABLE change;
