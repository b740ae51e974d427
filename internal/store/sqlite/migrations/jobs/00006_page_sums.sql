-- Changes no table. The last eight bytes of each page may be its checksum, also in a directory that
-- already exists (docs/decisions/0022-damage.md). An older program would write pages without
-- them. It refuses a newer version of the schema.

-- +goose Up

-- +goose Down
