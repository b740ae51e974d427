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
INSERT INTO meta (key, value) SELECT 'change_log_start', last::text FROM clock WHERE EXISTS (SELECT 1 FROM meta);

-- +goose Down
DELETE FROM meta WHERE key = 'change_log_start';
DROP TABLE change;
