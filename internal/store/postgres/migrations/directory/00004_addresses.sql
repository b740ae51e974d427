-- The base URLs that the directory had before its present one, separated by spaces. Absolute
-- references below them still lead into the directory. Older programs stored the default
-- http://localhost:8080/fhir if no base URL was given. It becomes a former one here, since
-- only a base URL that was given is stored.

-- +goose Up
INSERT INTO meta (key, value)
SELECT 'former_base_urls', CASE value WHEN 'http://localhost:8080/fhir' THEN value ELSE '' END FROM meta WHERE key = 'base_url';
UPDATE meta SET value = '' WHERE key = 'base_url' AND value = 'http://localhost:8080/fhir';

-- +goose Down
DELETE FROM meta WHERE key = 'former_base_urls';
