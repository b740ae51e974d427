-- The version of the rules by which resources were cleaned before they were stored. An
-- older directory has none, and is refused until it has been reindexed. An older program
-- ignores the row, but refuses the version of the schema.

-- +goose Up
INSERT INTO meta (key, value) SELECT 'rules', '' WHERE EXISTS (SELECT 1 FROM meta);

-- +goose Down
DELETE FROM meta WHERE key = 'rules';
