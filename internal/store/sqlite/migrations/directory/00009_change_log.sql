-- The change log: what each write did, to which resource and when. It begins with this
-- migration. Entries are deleted together with the tombstones of their time.

-- +goose Up
CREATE TABLE change (
  committed INTEGER NOT NULL,                      -- ms
  row_key   INTEGER NOT NULL,
  what      INTEGER NOT NULL,                      -- flags of store.What
  PRIMARY KEY (committed, row_key)
) STRICT, WITHOUT ROWID;
INSERT INTO meta (key, value) SELECT 'change_log_start', CAST(last AS TEXT) FROM clock WHERE EXISTS (SELECT 1 FROM meta);

-- +goose Down
DELETE FROM meta WHERE key = 'change_log_start';
DROP TABLE change;
