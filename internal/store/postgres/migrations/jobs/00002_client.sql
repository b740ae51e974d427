-- Who the limits count a job for (package client): a principal, or the network of an address.
-- Jobs of older programs count for their owner.

-- +goose Up
ALTER TABLE job ADD COLUMN client text COLLATE "C" NOT NULL DEFAULT '';   -- name of the client
ALTER TABLE job ADD COLUMN network text COLLATE "C" NOT NULL DEFAULT '';  -- name of the network around it, or empty
UPDATE job SET client = 'principal ' || owner;
CREATE INDEX job_client ON job (client, state);
CREATE INDEX job_network ON job (network, state) WHERE network <> '';

-- +goose Down
DROP INDEX job_network;
DROP INDEX job_client;
ALTER TABLE job DROP COLUMN network;
ALTER TABLE job DROP COLUMN client;
