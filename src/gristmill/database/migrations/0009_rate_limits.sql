-- How fast vendors may be asked. Whoever is about to call reserves its turn here, on this server's
-- clock, so that any number of processes keep one pace.

-- Calls that share limits: those of one model, or all of a service.
CREATE TABLE rate_pools (
    endpoint text NOT NULL,
    pool text NOT NULL,
    -- The vendor has said that everybody should wait until then.
    paused_until timestamptz NOT NULL DEFAULT '-infinity',
    -- Turns of an earlier round than this one are void: their owners ask again.
    round bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (endpoint, pool)
) WITH (fillfactor = 50);

-- `amount` of a unit in `seconds`, as a person has set it or the vendor has told it; the slower of
-- the two counts.
CREATE TABLE rate_limits (
    endpoint text NOT NULL,
    pool text NOT NULL,
    -- As the vendor calls it: requests, tokens, project-tokens.
    name text NOT NULL,
    unit text NOT NULL,
    set_amount double precision CHECK (set_amount > 0),
    set_seconds double precision CHECK (set_seconds > 0),
    told_amount double precision CHECK (told_amount > 0),
    told_seconds double precision CHECK (told_seconds > 0),
    told_at timestamptz,
    -- When all that was reserved will have been earned; the next turn begins there.
    free_at timestamptz NOT NULL DEFAULT '-infinity',
    -- What was reserved in the present minute, and in the one before it.
    minute timestamptz NOT NULL DEFAULT '-infinity',
    used double precision NOT NULL DEFAULT 0,
    used_before double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (endpoint, pool, name),
    FOREIGN KEY (endpoint, pool) REFERENCES rate_pools ON DELETE CASCADE
) WITH (fillfactor = 50);

-- Seconds for each unit; NULL where there is no limit.
CREATE FUNCTION seconds_per_unit(l rate_limits) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
    SELECT greatest(l.set_seconds / l.set_amount, l.told_seconds / l.told_amount)
$$;

-- What one call may take at the most: what the smallest limit allows in its whole time.
CREATE FUNCTION most_at_once(l rate_limits) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
    SELECT least(l.set_amount, l.told_amount)
$$;

-- Sets the limits that a person has configured for a pool, and removes those that are no longer.
-- `wanted`: [{"name", "unit", "amount", "seconds"}].
CREATE FUNCTION set_rate_limits(of_endpoint text, of_pool text, wanted jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rate_pools (endpoint, pool) VALUES (of_endpoint, of_pool) ON CONFLICT DO NOTHING;
    PERFORM FROM rate_pools WHERE (endpoint, pool) = (of_endpoint, of_pool) FOR UPDATE;
    UPDATE rate_limits SET set_amount = NULL, set_seconds = NULL
    WHERE (endpoint, pool) = (of_endpoint, of_pool) AND set_amount IS NOT NULL
        AND name <> ALL (SELECT value->>'name' FROM jsonb_array_elements(wanted));
    INSERT INTO rate_limits (endpoint, pool, name, unit, set_amount, set_seconds)
    SELECT of_endpoint, of_pool, w.name, w.unit, w.amount, w.seconds
    FROM jsonb_to_recordset(wanted)
        AS w (name text, unit text, amount double precision, seconds double precision)
    ON CONFLICT (endpoint, pool, name) DO UPDATE
    SET set_amount = excluded.set_amount, set_seconds = excluded.set_seconds;
END $$;

-- What the vendor says of a limit: how much there is of it, and how much is left now. What it says
-- is left may only slow down: less than `reserve_seconds` of it is waited for.
CREATE FUNCTION learn_rate_limit(of_endpoint text, of_pool text, of_name text, of_unit text,
    amount double precision, seconds double precision, remaining double precision,
    reserve_seconds double precision)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    left_seconds double precision := remaining * seconds / amount;
BEGIN
    INSERT INTO rate_pools (endpoint, pool) VALUES (of_endpoint, of_pool) ON CONFLICT DO NOTHING;
    PERFORM FROM rate_pools WHERE (endpoint, pool) = (of_endpoint, of_pool) FOR UPDATE;
    INSERT INTO rate_limits AS l
        (endpoint, pool, name, unit, told_amount, told_seconds, told_at)
    VALUES (of_endpoint, of_pool, of_name, of_unit, amount, seconds, clock_timestamp())
    ON CONFLICT (endpoint, pool, name) DO UPDATE
    SET told_amount = excluded.told_amount, told_seconds = excluded.told_seconds,
        told_at = excluded.told_at;
    IF left_seconds < reserve_seconds THEN
        UPDATE rate_limits
        SET free_at = greatest(free_at,
            clock_timestamp() + make_interval(secs => reserve_seconds - left_seconds))
        WHERE (endpoint, pool, name) = (of_endpoint, of_pool, of_name);
    END IF;
END $$;

-- A turn for a call of so many requests and tokens.
--   `patience`  seconds that it waits at the most; if its turn comes later, nothing is reserved
--   `burst`     seconds of a limit that may be used at once after a rest
--   `stretch`   by how much slower than the limit calls go, so that late arrivals do not meet
-- Answers {"wait": seconds, "round", "ends": {name: [free_at, step]}} for a turn; without "ends" it
-- has none, since it would wait too long; {"most": amount, "name"} if it never fits; NULL where there
-- is no limit and no pause.
CREATE FUNCTION reserve_turn(of_endpoint text, of_pool text, requests double precision,
    tokens double precision, patience double precision, burst double precision,
    stretch double precision)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    pool_row rate_pools;
    now_at timestamptz;
    start_at timestamptz;
    too_small record;
    told jsonb;
BEGIN
    SELECT * INTO pool_row FROM rate_pools WHERE (endpoint, pool) = (of_endpoint, of_pool)
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT l.name, most_at_once(l) AS most INTO too_small FROM rate_limits l
    WHERE (endpoint, pool) = (of_endpoint, of_pool)
        AND most_at_once(l) < CASE unit WHEN 'requests' THEN requests ELSE tokens END
    ORDER BY 2 LIMIT 1;
    IF FOUND THEN
        RETURN jsonb_build_object('most', too_small.most, 'name', too_small.name);
    END IF;
    now_at := clock_timestamp();
    SELECT max(free_at - make_interval(secs => greatest(0, burst - step))) INTO start_at
    FROM (SELECT free_at, seconds_per_unit(l)
            * CASE unit WHEN 'requests' THEN requests ELSE tokens END * stretch AS step
          FROM rate_limits l WHERE (endpoint, pool) = (of_endpoint, of_pool)) s
    WHERE step > 0;
    IF start_at IS NULL AND pool_row.paused_until <= now_at THEN
        RETURN NULL;
    END IF;
    start_at := greatest(now_at, pool_row.paused_until, start_at);
    told := jsonb_build_object(
        'wait', extract(epoch FROM start_at - now_at), 'round', pool_row.round);
    IF start_at > now_at + make_interval(secs => patience) THEN
        RETURN told;
    END IF;
    WITH taken AS (
        UPDATE rate_limits l SET
            free_at = greatest(l.free_at, start_at) + make_interval(secs => c.step),
            minute = c.minute,
            used = c.cost + CASE WHEN l.minute = c.minute THEN l.used ELSE 0 END,
            used_before = CASE
                WHEN l.minute = c.minute THEN l.used_before
                WHEN l.minute = c.minute - interval '1 minute' THEN l.used ELSE 0 END
        FROM (SELECT name, cost, cost * per_unit * stretch AS step,
                     date_trunc('minute', now_at) AS minute
              FROM (SELECT name, seconds_per_unit(o) AS per_unit,
                           CASE unit WHEN 'requests' THEN requests ELSE tokens END AS cost
                    FROM rate_limits o WHERE (endpoint, pool) = (of_endpoint, of_pool)) u) c
        WHERE (l.endpoint, l.pool, l.name) = (of_endpoint, of_pool, c.name)
            AND c.step > 0
        RETURNING l.name, l.free_at, c.step)
    SELECT told || jsonb_build_object('ends',
        coalesce(jsonb_object_agg(name, jsonb_build_array(free_at, step)), '{}'))
    INTO told FROM taken;
    RETURN told;
END $$;

-- Gives a turn back that was not used. A place that others stand behind is lost: to close the gap
-- would bring them too near to each other.
CREATE FUNCTION return_turn(of_endpoint text, of_pool text, of_round bigint, ends jsonb)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM rate_pools
    WHERE (endpoint, pool, round) = (of_endpoint, of_pool, of_round) FOR UPDATE;
    IF FOUND THEN
        UPDATE rate_limits l
        SET free_at = l.free_at - make_interval(secs => (e.value->>1)::double precision)
        FROM jsonb_each(ends) e
        WHERE (l.endpoint, l.pool, l.name) = (of_endpoint, of_pool, e.key)
            AND l.free_at = (e.value->>0)::timestamptz;
    END IF;
END $$;

-- The vendor wants everybody to wait for `seconds`. Who has a turn asks for a new one, and they
-- begin when the pause ends. Calls that were under way when it was said bring the same news; it
-- begins a new round only if they prolong it by much.
CREATE FUNCTION pause_pool(of_endpoint text, of_pool text, seconds double precision)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    until_at timestamptz := clock_timestamp() + make_interval(secs => seconds);
BEGIN
    INSERT INTO rate_pools (endpoint, pool) VALUES (of_endpoint, of_pool) ON CONFLICT DO NOTHING;
    UPDATE rate_pools SET paused_until = until_at, round = round + 1
    WHERE (endpoint, pool) = (of_endpoint, of_pool)
        AND paused_until < until_at - make_interval(secs => 0.1 * seconds);
    IF FOUND THEN
        UPDATE rate_limits SET free_at = until_at
        WHERE (endpoint, pool) = (of_endpoint, of_pool);
    END IF;
END $$;
