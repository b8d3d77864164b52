-- How the services do, as each process hears it, and what has changed. Ages in here are seconds
-- before `at`, which is of this server's clock: the processes' own clocks may differ.

-- The newest word of each process on each service that it has used lately. One that dies falls
-- silent, and what it has said ages out.
CREATE TABLE health_snapshots (
    process text NOT NULL,
    service text NOT NULL,
    endpoint text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    at timestamptz NOT NULL,
    -- It has said that it ends: what it heard holds, but nothing in it waits any more.
    is_over boolean NOT NULL,
    heard jsonb NOT NULL,
    live jsonb NOT NULL,
    -- Since it started: calls, answers and the seconds that those took, retries; and failures of
    -- the service, by kind.
    totals jsonb NOT NULL,
    PRIMARY KEY (process, service, endpoint)
) WITH (fillfactor = 50);

-- The same of all processes there ever were: sums that only grow.
CREATE TABLE service_totals (
    service text NOT NULL,
    endpoint text NOT NULL,
    name text NOT NULL,
    amount double precision NOT NULL,
    PRIMARY KEY (service, endpoint, name)
) WITH (fillfactor = 50);

-- The status of each service as it was last told, and for a day how it came to that.
CREATE TABLE service_statuses (
    service text NOT NULL,
    endpoint text NOT NULL,
    status text NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (service, endpoint)
);

CREATE TABLE health_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    service text NOT NULL,
    endpoint text NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    reason text NOT NULL
);

-- What is newer than so many seconds, aged to now.
CREATE FUNCTION told_health(newer_than double precision)
RETURNS TABLE (process text, service text, endpoint text, host text, pid integer,
    age double precision, is_over boolean, heard jsonb, live jsonb, status text)
LANGUAGE sql STABLE AS $$
    SELECT s.process, s.service, s.endpoint, s.host, s.pid,
           greatest(0, extract(epoch FROM clock_timestamp() - s.at))::double precision,
           s.is_over, s.heard, s.live, t.status
    FROM health_snapshots s LEFT JOIN service_statuses t USING (service, endpoint)
    WHERE s.at > clock_timestamp() - make_interval(secs => newer_than)
    ORDER BY s.at DESC LIMIT 300
$$;

-- A process tells what it has heard. `told`: [{"service", "endpoint", "heard", "live", "totals",
-- "before"}]. Sums grow by what is more than it has told; `before` is that as far as it knows. If
-- an answer was lost, the row knows better, so that nothing is counted twice.
CREATE FUNCTION tell_health(of_process text, of_host text, of_pid integer, over boolean,
    told jsonb)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO service_totals AS t (service, endpoint, name, amount)
    SELECT w.service, w.endpoint, n.key, n.value::double precision
        - coalesce(s.totals->>n.key, w.before->>n.key, '0')::double precision AS more
    FROM jsonb_to_recordset(told) AS w (service text, endpoint text, totals jsonb, before jsonb)
    CROSS JOIN LATERAL jsonb_each_text(w.totals) n
    LEFT JOIN health_snapshots s
        ON (s.process, s.service, s.endpoint) = (of_process, w.service, w.endpoint)
    WHERE n.value <> coalesce(s.totals->>n.key, w.before->>n.key, '0')
    ORDER BY w.service, w.endpoint, n.key  -- everybody locks in this order
    ON CONFLICT (service, endpoint, name) DO UPDATE SET amount = t.amount + excluded.amount;

    INSERT INTO health_snapshots AS s
        (process, service, endpoint, host, pid, at, is_over, heard, live, totals)
    SELECT of_process, w.service, w.endpoint, of_host, of_pid, clock_timestamp(), over, w.heard,
           w.live, w.totals
    FROM jsonb_to_recordset(told)
        AS w (service text, endpoint text, heard jsonb, live jsonb, totals jsonb)
    ON CONFLICT (process, service, endpoint) DO UPDATE
    SET at = excluded.at, is_over = excluded.is_over, heard = excluded.heard,
        live = excluded.live, totals = excluded.totals;

    DELETE FROM health_snapshots s USING (
        SELECT o.process, o.service, o.endpoint FROM health_snapshots o
        WHERE at < clock_timestamp() - interval '10 minutes'
        FOR UPDATE SKIP LOCKED) old
    WHERE (s.process, s.service, s.endpoint) = (old.process, old.service, old.endpoint);
END $$;

-- Tells of a new status, unless another process has; says whether this one did.
CREATE FUNCTION change_health(of_service text, of_endpoint text, was text, becomes text, why text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF was IS NULL THEN
        INSERT INTO service_statuses (service, endpoint, status, reason, since)
        VALUES (of_service, of_endpoint, becomes, why, clock_timestamp()) ON CONFLICT DO NOTHING;
    ELSE
        UPDATE service_statuses SET status = becomes, reason = why, since = clock_timestamp()
        WHERE (service, endpoint, status) = (of_service, of_endpoint, was);
    END IF;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO health_changes (at, service, endpoint, before, after, reason)
    VALUES (clock_timestamp(), of_service, of_endpoint, coalesce(was, 'unknown'), becomes, why);
    DELETE FROM health_changes WHERE at < clock_timestamp() - interval '1 day';
    RETURN true;
END $$;
