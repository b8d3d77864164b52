-- The tables of Gristmill. Every name is in the schema `gristmill`; the search path of each
-- connection points there, so that the task engine's own tables live beside ours.

CREATE TABLE collections (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    -- What may answer in it: decided by its first document and never mixed.
    origin text NOT NULL CHECK (origin IN ('real', 'simulated')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (id, origin)
);

-- An embedding space: vectors of one space may be compared, of two never.
CREATE TABLE spaces (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint text NOT NULL,
    model text NOT NULL,
    dimensions integer NOT NULL CHECK (dimensions BETWEEN 1 AND 4000),
    origin text NOT NULL CHECK (origin IN ('real', 'simulated')),
    UNIQUE (endpoint, model, dimensions, origin),
    UNIQUE (id, origin)
);

-- A file of a user in object storage, once per content.
CREATE TABLE objects (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint text NOT NULL,
    bucket text NOT NULL,
    key text NOT NULL,
    sha256 text NOT NULL CHECK (length(sha256) = 64),
    size bigint NOT NULL CHECK (size >= 0),
    origin text NOT NULL CHECK (origin IN ('real', 'simulated')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Nothing needs it any more: it is being removed from storage, and may not be taken up again.
    removing_since timestamptz,
    UNIQUE (endpoint, bucket, key)
);
CREATE INDEX objects_removing ON objects (endpoint) WHERE removing_since IS NOT NULL;

-- One parse of one content with one set of options, shared by every document that needs it.
CREATE TABLE parses (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint text NOT NULL UNIQUE,
    sha256 text NOT NULL CHECK (length(sha256) = 64),
    endpoint text NOT NULL,
    origin text NOT NULL CHECK (origin IN ('real', 'simulated', 'local')),
    tier text NOT NULL,
    tier_version text NOT NULL,
    max_pages integer NOT NULL CHECK (max_pages > 0),
    -- new: nothing sent; uploaded: the vendor holds the file; submitting: the request may have
    -- left; submitted: the job id is known; completed, failed: the vendor is done; stored: the
    -- pages are ours.
    status text NOT NULL DEFAULT 'new' CHECK (status IN
        ('new', 'uploaded', 'submitting', 'submitted', 'completed', 'failed', 'stored')),
    -- Found again by this after a submit whose answer was lost.
    tag text NOT NULL UNIQUE,
    -- The document whose runner does the talking; the others wait for its result.
    driver text,
    file_id text,
    job_id text,
    submitting_since timestamptz,
    submitted_at timestamptz,
    error text,
    attempts integer NOT NULL DEFAULT 0,
    credits numeric,
    vendor_cleaned boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (status <> 'submitted' OR job_id IS NOT NULL)
);
CREATE INDEX parses_submitted ON parses (endpoint) WHERE status = 'submitted';
CREATE INDEX parses_unsettled ON parses (endpoint)
    WHERE job_id IS NOT NULL AND status IN ('stored', 'failed')
        AND (credits IS NULL OR NOT vendor_cleaned);

CREATE INDEX parses_driver ON parses (driver);

CREATE TABLE pages (
    parse_id bigint NOT NULL REFERENCES parses ON DELETE CASCADE,
    number integer NOT NULL CHECK (number > 0),
    markdown text NOT NULL,
    error text,
    PRIMARY KEY (parse_id, number)
);

-- A document is (collection, source); what it says now is its published version.
CREATE TABLE documents (
    id text PRIMARY KEY,
    collection_id bigint NOT NULL REFERENCES collections,
    source text NOT NULL CHECK (source <> ''),
    status text NOT NULL CHECK (status IN (
        'uploaded', 'stored', 'parse_queued', 'parsing', 'parsed', 'chunked', 'embedding',
        'ready', 'ready_incomplete', 'parked', 'failed', 'quarantined')),
    -- The stage a parked or failed document stopped in; where it goes on.
    stage text NOT NULL,
    -- Whoever raised it last may write; an older runner changes nothing.
    claim bigint NOT NULL DEFAULT 0,
    building_id bigint,
    published_id bigint,
    attempts integer NOT NULL DEFAULT 0,
    next_try timestamptz,
    error_kind text,
    error text,
    advice text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (collection_id, source)
);
CREATE INDEX documents_unfinished ON documents (status)
    WHERE status NOT IN ('ready', 'ready_incomplete', 'failed', 'quarantined');

CREATE TABLE versions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document_id text NOT NULL REFERENCES documents ON DELETE CASCADE,
    sha256 text NOT NULL CHECK (length(sha256) = 64),
    fingerprint text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    mime text NOT NULL,
    size bigint NOT NULL,
    pages integer,
    -- Where the bytes are until they are stored: a path on the machine named by `host`.
    path bytea NOT NULL,
    host text NOT NULL,
    object_id bigint REFERENCES objects,
    parse_id bigint REFERENCES parses,
    space_id integer REFERENCES spaces,
    -- Pages that failed, came empty or were cut: [{"page": 3, "problem": "empty"}]
    incomplete jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz
);
CREATE INDEX versions_document ON versions (document_id);
CREATE INDEX versions_parse ON versions (parse_id);
CREATE INDEX versions_object ON versions (object_id);
ALTER TABLE documents
    ADD FOREIGN KEY (building_id) REFERENCES versions ON DELETE SET NULL,
    ADD FOREIGN KEY (published_id) REFERENCES versions ON DELETE SET NULL;

CREATE TABLE chunks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version_id bigint NOT NULL REFERENCES versions ON DELETE CASCADE,
    collection_id bigint NOT NULL,
    ordinal integer NOT NULL,
    start_offset integer NOT NULL,
    end_offset integer NOT NULL CHECK (end_offset > start_offset),
    first_page integer NOT NULL,
    last_page integer NOT NULL,
    headings text[] NOT NULL,
    text text NOT NULL,
    text_sha256 bytea NOT NULL,
    tokens integer NOT NULL CHECK (tokens > 0),
    origin text NOT NULL,
    space_id integer,
    vector halfvec,
    search tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
    UNIQUE (version_id, ordinal),
    -- One origin column, two keys: a simulated vector cannot enter a real collection.
    FOREIGN KEY (collection_id, origin) REFERENCES collections (id, origin),
    FOREIGN KEY (space_id, origin) REFERENCES spaces (id, origin),
    CHECK ((space_id IS NULL) = (vector IS NULL))
);
CREATE INDEX chunks_search ON chunks USING gin (search);
CREATE INDEX chunks_text ON chunks (text_sha256, space_id) WHERE vector IS NOT NULL;
CREATE INDEX chunks_collection ON chunks (collection_id);

CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document_id text NOT NULL REFERENCES documents ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    status text NOT NULL,
    detail text NOT NULL DEFAULT ''
);
CREATE INDEX events_document ON events (document_id, id);

-- Money. Append-only: a call opens with `expected` before it leaves and ends with one other entry.
--   expected   the bound, written before the call
--   actual     the answer said what was used
--   open       accepted, billed later under `vendor_ref`
--   released   refused with the promise that nothing happened
--   unknown    no usable answer: counts as the bound
--   settled    the later bill of an `open` call
CREATE TABLE journal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    call_id uuid NOT NULL,
    entry text NOT NULL CHECK (entry IN
        ('expected', 'actual', 'open', 'released', 'unknown', 'settled')),
    service text NOT NULL,
    operation text NOT NULL,
    product text NOT NULL,
    unit text NOT NULL,
    quantity bigint NOT NULL CHECK (quantity >= 0),
    nano_dollars bigint NOT NULL CHECK (nano_dollars >= 0),
    price_version text NOT NULL,
    origin text NOT NULL CHECK (origin IN ('real', 'simulated')),
    endpoint text NOT NULL,
    collection text,
    document_id text,
    vendor_ref text,
    note text NOT NULL DEFAULT '',
    UNIQUE (call_id, entry)
);
CREATE INDEX journal_vendor_ref ON journal (vendor_ref) WHERE vendor_ref IS NOT NULL;
CREATE INDEX journal_document ON journal (document_id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER journal_append_only BEFORE UPDATE OR DELETE ON journal
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- What each call costs as far as is known: the last word replaces the bound.
CREATE VIEW calls AS
SELECT
    call_id,
    min(at) AS at,
    (array_agg(service ORDER BY id))[1] AS service,
    (array_agg(operation ORDER BY id))[1] AS operation,
    (array_agg(product ORDER BY id DESC))[1] AS product,
    (array_agg(origin ORDER BY id DESC))[1] AS origin,
    (array_agg(collection ORDER BY id))[1] AS collection,
    (array_agg(document_id ORDER BY id))[1] AS document_id,
    (array_agg(vendor_ref ORDER BY id DESC) FILTER (WHERE vendor_ref IS NOT NULL))[1]
        AS vendor_ref,
    (array_agg(entry ORDER BY id DESC))[1] AS state,
    (array_agg(quantity ORDER BY id DESC))[1] AS quantity,
    (array_agg(unit ORDER BY id DESC))[1] AS unit,
    (array_agg(nano_dollars ORDER BY id))[1] AS expected_nano_dollars,
    (array_agg(nano_dollars ORDER BY id DESC))[1] AS nano_dollars
FROM journal
GROUP BY call_id;

-- Queues the next look at a document, or brings a queued one forward; never puts one off.
CREATE FUNCTION wake(document text, queue text, at timestamptz DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE procrastinate_jobs
    SET scheduled_at = least(scheduled_at, coalesce(at, clock_timestamp())), queue_name = queue
    WHERE queueing_lock = document AND status = 'todo';
    IF FOUND THEN
        PERFORM pg_notify('procrastinate_any_queue_v1', '{"type": "job_inserted", "job_id": 0}');
        PERFORM pg_notify('procrastinate_queue_v1#' || queue,
            '{"type": "job_inserted", "job_id": 0}');
        RETURN;
    END IF;
    PERFORM procrastinate_defer_jobs_v1(ARRAY[ROW(
        queue, 'advance', 0, document, document,
        jsonb_build_object('document_id', document), at
    )::procrastinate_job_to_defer_v1]);
EXCEPTION WHEN unique_violation THEN
    NULL; -- another session queued the same look at this moment
END $$;

-- Puts back what dead workers held. A worker holds an advisory lock on its number for as long as
-- its process lives, so a death is seen at once; the heartbeat is for a machine that fell silent.
CREATE FUNCTION recover_jobs(lock_class integer, silent interval) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    job record;
    recovered integer := 0;
BEGIN
    FOR job IN
        SELECT j.id FROM procrastinate_jobs j
        LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
        WHERE j.status = 'doing' AND (
            w.id IS NULL
            OR w.last_heartbeat < clock_timestamp() - silent
            OR (w.last_heartbeat < clock_timestamp() - interval '2 seconds' AND NOT EXISTS (
                SELECT FROM pg_locks l
                WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
                    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND l.classid = lock_class::oid AND l.objid = (w.id % 2147483647)::oid)))
        FOR UPDATE OF j SKIP LOCKED
    LOOP
        BEGIN
            PERFORM procrastinate_retry_job_v2(job.id, clock_timestamp(), NULL, NULL, NULL);
        EXCEPTION WHEN unique_violation THEN -- the same look is queued already
            PERFORM procrastinate_finish_job_v1(job.id, 'failed', true);
        END;
        recovered := recovered + 1;
    END LOOP;
    RETURN recovered;
END $$;
