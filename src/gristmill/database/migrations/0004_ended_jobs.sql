-- A parse may take several jobs, one after the other: failed ones, and one for each part of a file
-- whose pages nobody can count beforehand. What is left to do about a job that is over, its bill and
-- its removal, belongs to the job.

-- The row goes when the bill is known and the vendor has nothing of the job any more.
CREATE TABLE ended_jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint text NOT NULL,
    -- None where a file was uploaded and no job came of it.
    job_id text,
    -- Its file, unless another job is to read it.
    file_id text,
    is_billed boolean NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- A bill that is not there yet is asked for again then.
    look_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (endpoint, job_id)
);
CREATE INDEX ended_jobs_look_at ON ended_jobs (endpoint, look_at);
INSERT INTO ended_jobs (endpoint, job_id, file_id, is_billed)
SELECT endpoint, job_id, file_id, credits IS NOT NULL FROM parses
WHERE job_id IS NOT NULL AND status IN ('stored', 'failed')
    AND (credits IS NULL OR NOT vendor_cleaned)
ORDER BY id;

ALTER TABLE parses
    DROP COLUMN credits,
    DROP COLUMN vendor_cleaned,
    -- Pages up to this one are ours; the next job begins after it.
    ADD COLUMN read_to integer NOT NULL DEFAULT 0 CHECK (read_to >= 0);
