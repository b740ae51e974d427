-- By which rules the resources were cleaned before they were stored. A directory of
-- before has none: it is refused until it has been reindexed. The row has no effect on an
-- older program, but the version of the tables keeps one away.

-- +goose Up
INSERT INTO meta (key, value) SELECT 'rules', '' WHERE EXISTS (SELECT 1 FROM meta);

-- +goose Down
DELETE FROM meta WHERE key = 'rules';
