-- A row in each table that may have no other. If a database was restored without the data of a
-- table, the row is missing (complete.go). No other statement finds these rows: they have the type,
-- row key and parameter 0, which do not exist.

-- +goose Up
INSERT INTO ix_token     (row_key, param, code, system)   VALUES (0, 0, '', 0)      ON CONFLICT DO NOTHING;
INSERT INTO ix_string    (row_key, param, norm, exact)    VALUES (0, 0, '0', '0')   ON CONFLICT DO NOTHING;
INSERT INTO ix_date      (row_key, param, low, high)      VALUES (0, 0, 0, 0)       ON CONFLICT DO NOTHING;
INSERT INTO ix_reference (row_key, param, id, type)       VALUES (0, 0, '', 0)      ON CONFLICT DO NOTHING;
INSERT INTO ix_uri       (row_key, param, value)          VALUES (0, 0, '')         ON CONFLICT DO NOTHING;
INSERT INTO ix_number    (row_key, param, value)          VALUES (0, 0, 0)          ON CONFLICT DO NOTHING;
INSERT INTO ix_position  (row_key, param, cell, lat, lon) VALUES (0, 0, 0, 0, 0)    ON CONFLICT DO NOTHING;
-- The text of the string and its only n-gram.
INSERT INTO ix_text (text_id, param, norm) VALUES (0, 0, '0') ON CONFLICT DO NOTHING;
INSERT INTO ix_gram (param, gram, text_id) VALUES (0, '0', 0) ON CONFLICT DO NOTHING;
-- No system and no type name has a control character.
INSERT INTO name (name_id, text) VALUES (0, E'\x01') ON CONFLICT DO NOTHING;
INSERT INTO history (row_key, version, committed, superseded, visibility, size, body) VALUES (0, 0, 0, 0, 0, 0, '') ON CONFLICT DO NOTHING;
INSERT INTO tombstone (type, id, version, row_key, committed) VALUES (0, '', 0, 0, 0) ON CONFLICT DO NOTHING;
INSERT INTO resource_count (type, visibility, number) VALUES (0, 0, 0) ON CONFLICT DO NOTHING;

-- +goose Down
DELETE FROM resource_count WHERE type = 0;
DELETE FROM tombstone WHERE type = 0;
DELETE FROM history WHERE row_key = 0;
DELETE FROM name WHERE name_id = 0;
DELETE FROM ix_gram WHERE param = 0;
DELETE FROM ix_text WHERE text_id = 0;
DELETE FROM ix_position WHERE row_key = 0;
DELETE FROM ix_number WHERE row_key = 0;
DELETE FROM ix_uri WHERE row_key = 0;
DELETE FROM ix_reference WHERE row_key = 0;
DELETE FROM ix_date WHERE row_key = 0;
DELETE FROM ix_string WHERE row_key = 0;
DELETE FROM ix_token WHERE row_key = 0;
