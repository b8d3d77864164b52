-- Which side of a service is asked, as switched at run time, and what stands in for what.

-- A switch wins over the settings of every process until it is reset.
CREATE TABLE switches (
    service text PRIMARY KEY,
    mode text NOT NULL CHECK (mode IN ('mock', 'real', 'hybrid')),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    by text NOT NULL
);

-- Each row asks every process to read its keys anew.
CREATE TABLE reloads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    by text NOT NULL
);

ALTER TABLE versions
    -- Read by the simulator because the parser was down.
    ADD COLUMN is_fallback boolean NOT NULL DEFAULT false,
    -- Published before its vectors, because the model was down: found by its words only.
    ADD COLUMN lacks_vectors boolean NOT NULL DEFAULT false,
    -- Made to take the place of one of these: it waits rather than becoming one itself.
    ADD COLUMN is_repair boolean NOT NULL DEFAULT false;
CREATE INDEX versions_degraded ON versions (document_id) WHERE is_fallback OR lacks_vectors;

-- Whatever a simulator answered is simulated, from whichever code path.
ALTER TABLE spaces ADD CHECK (endpoint <> 'simulator' OR origin = 'simulated');
ALTER TABLE parses ADD CHECK (endpoint <> 'simulator' OR origin = 'simulated');
ALTER TABLE objects ADD CHECK (endpoint <> 'simulator' OR origin = 'simulated');
