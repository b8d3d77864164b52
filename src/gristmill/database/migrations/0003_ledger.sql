-- Money: limits that a person sets, balances that may not pass them, holds of calls under way, and
-- the journal that all of it is folded from. Amounts are whole nano-dollars.

-- How much may be spent on what, in which period. The key '' is all there is of the global scope,
-- and of another scope it means that each service, collection or document has that much.
CREATE TABLE limits (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin text NOT NULL CHECK (origin IN ('real', 'simulated')),
    scope text NOT NULL CHECK (scope IN ('global', 'service', 'collection', 'document')),
    key text NOT NULL DEFAULT '',
    period text NOT NULL CHECK (period IN ('day', 'month', 'total')),
    -- NULL: no limit, and a person has said so.
    nano_dollars bigint CHECK (nano_dollars >= 0),
    set_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (origin, scope, key, period),
    CHECK (scope <> 'global' OR key = '')
);

-- One limit, one key, one window of time: what is spent in it and what is held. The rows are those
-- of today, this month and before; the next window's is made by its first hold.
CREATE TABLE balances (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    limit_id integer NOT NULL REFERENCES limits ON DELETE CASCADE,
    key text NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    nano_dollars bigint NOT NULL,
    posted bigint NOT NULL DEFAULT 0 CHECK (posted >= 0),
    held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    -- By how much more was spent than allowed: a vendor billed more than was held for it, or a
    -- person lowered the limit. No hold ever raises it.
    overrun bigint NOT NULL DEFAULT 0 CHECK (overrun >= 0),
    -- The highest threshold in percent that was told of.
    alerted smallint NOT NULL DEFAULT 0,
    UNIQUE (limit_id, key, starts_at),
    CHECK (posted + held <= nano_dollars + overrun)
) WITH (fillfactor = 50);

-- A call that has not ended: its worst case is set aside. Its row goes when it ends, and that is
-- why it ends once.
CREATE TABLE holds (
    call_id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    service text NOT NULL,
    operation text NOT NULL,
    product text NOT NULL,
    unit text NOT NULL,
    quantity bigint NOT NULL,
    nano_dollars bigint NOT NULL CHECK (nano_dollars >= 0),
    price_version text NOT NULL,
    origin text NOT NULL CHECK (origin IN ('real', 'simulated')),
    endpoint text NOT NULL,
    collection text,
    document_id text,
    -- Accepted, to be billed later under this name.
    vendor_ref text
);
CREATE UNIQUE INDEX holds_vendor_ref ON holds (service, vendor_ref) WHERE vendor_ref IS NOT NULL;

-- The journal says what each entry does to the balances of its window: `held` and `posted` are
-- added to them. `nano_dollars` is what the call stands at by then.
--   held       the worst case, before the call leaves
--   posted     what it cost
--   open       accepted, billed later under `vendor_ref`
--   released   nothing happened
--   assumed    nobody knows, so it counts as its worst case
--   corrected  what an assumed call did cost
ALTER TABLE journal DISABLE TRIGGER journal_append_only;
ALTER TABLE journal
    DROP CONSTRAINT journal_entry_check,
    ADD COLUMN held_at timestamptz,
    ADD COLUMN held bigint NOT NULL DEFAULT 0,
    ADD COLUMN posted bigint NOT NULL DEFAULT 0;
UPDATE journal j SET
    held_at = f.at,
    held = CASE
        WHEN j.entry = 'expected' THEN f.nano_dollars
        WHEN j.entry IN ('actual', 'released', 'unknown') THEN - f.nano_dollars
        WHEN j.entry = 'settled' AND NOT u.is_assumed THEN - f.nano_dollars
        ELSE 0 END,
    posted = CASE
        WHEN j.entry IN ('actual', 'unknown') THEN j.nano_dollars
        WHEN j.entry = 'settled' AND u.is_assumed THEN j.nano_dollars - f.nano_dollars
        WHEN j.entry = 'settled' THEN j.nano_dollars
        ELSE 0 END,
    entry = CASE j.entry
        WHEN 'expected' THEN 'held' WHEN 'actual' THEN 'posted' WHEN 'unknown' THEN 'assumed'
        WHEN 'settled' THEN CASE WHEN u.is_assumed THEN 'corrected' ELSE 'posted' END
        ELSE j.entry END
FROM journal f, LATERAL (
    SELECT EXISTS (SELECT FROM journal o WHERE o.call_id = f.call_id AND o.entry = 'unknown')
        AS is_assumed) u
WHERE f.call_id = j.call_id AND f.entry = 'expected';
ALTER TABLE journal
    ALTER COLUMN held_at SET NOT NULL,
    ALTER COLUMN held DROP DEFAULT,
    ALTER COLUMN posted DROP DEFAULT,
    ADD CHECK (entry IN ('held', 'posted', 'open', 'released', 'assumed', 'corrected'));
ALTER TABLE journal ENABLE TRIGGER journal_append_only;
INSERT INTO holds
SELECT j.call_id, j.held_at, j.service, j.operation, j.product, j.unit, j.quantity, j.nano_dollars,
       j.price_version, j.origin, j.endpoint, j.collection, j.document_id,
       (SELECT o.vendor_ref FROM journal o WHERE o.call_id = j.call_id AND o.entry = 'open')
FROM journal j
WHERE j.entry = 'held' AND NOT EXISTS (SELECT FROM journal o
    WHERE o.call_id = j.call_id AND o.entry NOT IN ('held', 'open'));
CREATE INDEX journal_held_at ON journal (held_at);

-- Windows are days and months of UTC, by this server's clock.
CREATE FUNCTION window_start(period text, at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE period WHEN 'total' THEN '-infinity' ELSE date_trunc(period, at, 'UTC') END
$$;
CREATE FUNCTION window_end(period text, starts_at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE period WHEN 'total' THEN 'infinity' ELSE
        ((starts_at AT TIME ZONE 'UTC') + ('1 ' || period)::interval) AT TIME ZONE 'UTC' END
$$;

-- What entries of the journal do to one balance; `balance` is NULL as long as it has no row.
CREATE TYPE movement AS (
    limit_id integer, key text, starts_at timestamptz, balance bigint,
    held bigint, posted bigint, is_asked boolean);

-- One for each balance that the entries belong to.
CREATE FUNCTION movements(entries journal[]) RETURNS movement[]
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT array_agg(m::movement) FROM (
        SELECT l.id, k.key, w.starts_at, b.id, sum(e.held)::bigint, sum(e.posted)::bigint,
               bool_or(e.held > 0)
        FROM unnest(entries) e
        JOIN limits l ON l.origin = e.origin AND l.nano_dollars IS NOT NULL
        CROSS JOIN LATERAL (SELECT CASE l.scope
            WHEN 'global' THEN '' WHEN 'service' THEN e.service
            WHEN 'collection' THEN e.collection ELSE e.document_id END) k (key)
        CROSS JOIN LATERAL (SELECT window_start(l.period, e.held_at)) w (starts_at)
        LEFT JOIN balances b
            ON b.limit_id = l.id AND b.key = k.key AND b.starts_at = w.starts_at
        WHERE k.key IS NOT NULL AND l.key IN ('', k.key)
        GROUP BY l.id, k.key, w.starts_at, b.id) m);
END $$;

-- What the journal says of one balance. A limit's own key may be any of its kind.
CREATE FUNCTION folded(limit_id integer, key text, starts_at timestamptz)
RETURNS TABLE (posted bigint, held bigint)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    l limits;
    narrow text;
BEGIN
    SELECT * INTO l FROM limits WHERE id = limit_id;
    narrow := CASE l.scope WHEN 'global' THEN '$4 IS NOT NULL' WHEN 'service' THEN 'service = $4'
        WHEN 'collection' THEN 'collection = $4' ELSE 'document_id = $4' END;
    RETURN QUERY EXECUTE
        'SELECT coalesce(sum(posted), 0)::bigint, coalesce(sum(held), 0)::bigint FROM journal'
        ' WHERE origin = $1 AND held_at >= $2 AND held_at < $3 AND ' || narrow
        USING l.origin, starts_at, window_end(l.period, starts_at), key;
END $$;

-- Makes the rows of balances that are missing, from the journal. Before the caller writes to the
-- journal, so that whoever makes a row and whoever writes meet at it and neither misses the other.
CREATE FUNCTION open_balances(moves movement[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO balances (limit_id, key, starts_at, ends_at, nano_dollars, posted, held, overrun)
    SELECT l.id, m.key, m.starts_at, window_end(l.period, m.starts_at), l.nano_dollars,
           f.posted, f.held, greatest(0, f.posted + f.held - l.nano_dollars)
    FROM unnest(moves) m JOIN limits l ON l.id = m.limit_id,
    LATERAL folded(l.id, m.key, m.starts_at) f
    WHERE m.balance IS NULL
    ORDER BY m.limit_id, m.key, m.starts_at
    ON CONFLICT DO NOTHING;
END $$;

-- The highest threshold in percent that has been passed.
CREATE FUNCTION threshold(posted bigint, nano_dollars bigint) RETURNS smallint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN posted >= nano_dollars THEN 100 WHEN posted >= nano_dollars * 0.8 THEN 80
                WHEN posted >= nano_dollars * 0.5 THEN 50 ELSE 0 END::smallint
$$;

-- Everybody who changes balances locks them here first, in the order of their ids. Says whether
-- all that is asked fits, and whether a threshold is passed by it.
CREATE FUNCTION lock_balances(moves movement[], OUT is_room boolean, OUT is_passed boolean)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT bool_and(NOT m.is_asked OR b.posted + m.posted + b.held + m.held <= b.nano_dollars),
           bool_or(threshold(b.posted + m.posted, b.nano_dollars) > b.alerted)
    INTO is_room, is_passed
    FROM (SELECT * FROM balances WHERE id = ANY (ARRAY(SELECT balance FROM unnest(moves)))
          ORDER BY id FOR UPDATE) b
    JOIN unnest(moves) m ON m.balance = b.id;
END $$;

-- Settlements may pass a limit, and then say by how much.
CREATE FUNCTION move_balances(moves movement[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE balances b SET
        held = b.held + m.held, posted = b.posted + m.posted,
        overrun = greatest(0, b.posted + m.posted + b.held + m.held - b.nano_dollars)
    FROM unnest(moves) m WHERE b.id = m.balance;
END $$;

-- Moves what calls have ended, then holds as far as there is room, each for itself: a refused one
-- leaves its room to the next. Answers {call_id: balance} of the refused ones.
CREATE FUNCTION move_what_fits(ending journal[], holding journal[]) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    one journal;
    moves movement[];
    tight record;
    refused jsonb := '{}';
BEGIN
    PERFORM move_balances(movements(ending));
    FOREACH one IN ARRAY holding LOOP
        moves := movements(ARRAY[one]);
        SELECT b.id, l.origin, l.scope, b.key, l.period, b.nano_dollars, b.posted, b.held,
               CASE WHEN isfinite(b.ends_at) THEN extract(epoch FROM b.ends_at) END AS ends_at,
               CASE WHEN isfinite(b.ends_at)
                    THEN extract(epoch FROM b.ends_at - clock_timestamp()) END AS seconds_left,
               m.held AS asked
        INTO tight
        FROM unnest(moves) m JOIN balances b ON b.id = m.balance JOIN limits l ON l.id = b.limit_id
        WHERE m.is_asked AND b.posted + b.held + m.held > b.nano_dollars
        -- Where several refuse it, it waits for the last of them.
        ORDER BY b.posted + m.held > b.nano_dollars DESC, b.ends_at DESC, b.id LIMIT 1;
        IF FOUND THEN
            refused := refused || jsonb_build_object(one.call_id, to_jsonb(tight));
        ELSE
            PERFORM move_balances(moves);
        END IF;
    END LOOP;
    RETURN refused;
END $$;

-- Balances that have passed a threshold since it was last looked: each is told of once. All of
-- it is used up when something was refused for lack of it, whatever is left.
CREATE FUNCTION raise_alerts(moves movement[], refused jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    told jsonb;
BEGIN
    WITH used_up AS (
        SELECT (value->>'id')::bigint AS id FROM jsonb_each(refused)
        WHERE (value->>'posted')::bigint + (value->>'asked')::bigint
            > (value->>'nano_dollars')::bigint
          AND (value->>'asked')::bigint <= (value->>'nano_dollars')::bigint
    ), passed AS (
        SELECT id, CASE WHEN id IN (SELECT id FROM used_up) THEN 100
                        ELSE threshold(posted, nano_dollars) END AS percent
        FROM balances WHERE id IN (SELECT balance FROM unnest(moves))
    ), raised AS (
        UPDATE balances b SET alerted = p.percent FROM passed p
        WHERE b.id = p.id AND p.percent > b.alerted
        RETURNING b.limit_id, b.key, b.alerted, b.nano_dollars, b.posted, b.held, b.overrun
    )
    SELECT jsonb_agg(jsonb_build_object(
        'origin', l.origin, 'scope', l.scope, 'key', r.key, 'period', l.period,
        'percent', r.alerted, 'nano_dollars', r.nano_dollars, 'posted', r.posted,
        'held', r.held, 'overrun', r.overrun))
    INTO told FROM raised r JOIN limits l ON l.id = r.limit_id;
    RETURN told;
END $$;

-- Moves the balances of all these, refused holds excepted.
CREATE FUNCTION keep_balances(ending journal[], holding journal[],
    OUT refused jsonb, OUT alerts jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    moves movement[] := movements(ending || holding);
    is_room boolean;
    is_passed boolean;
BEGIN
    IF moves IS NULL THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM unnest(moves) WHERE balance IS NULL) THEN
        PERFORM open_balances(moves);
        moves := movements(ending || holding);
    END IF;
    SELECT * INTO is_room, is_passed FROM lock_balances(moves);
    IF is_room THEN
        PERFORM move_balances(moves);
    ELSE
        refused := move_what_fits(ending, holding);
    END IF;
    IF is_passed OR NOT is_room THEN
        alerts := raise_alerts(moves, refused);
    END IF;
END $$;

-- Whoever keeps the ledger shares this lock; whoever changes a limit has it alone, so that no
-- balance is made from a journal in which somebody is writing unseen.
CREATE FUNCTION limits_lock() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 7266512302';

-- How a call ended: what was used, and what that costs.
CREATE TYPE call_end AS (
    call_id uuid, entry text, product text, unit text, quantity bigint, nano_dollars bigint,
    price_version text, vendor_ref text, note text);

-- Evidence that comes after a call was assumed: what it did cost, or the name it is billed under.
CREATE FUNCTION correct_call(e call_end) RETURNS journal
LANGUAGE plpgsql AS $$
DECLARE
    line journal;
    was bigint;
BEGIN
    -- Whoever else has evidence of this call waits here.
    SELECT * INTO line FROM journal WHERE call_id = e.call_id AND entry = 'held' FOR UPDATE;
    IF NOT FOUND OR e.entry = 'assumed'
        OR NOT EXISTS (SELECT FROM journal WHERE call_id = e.call_id AND entry = 'assumed')
        OR EXISTS (SELECT FROM journal WHERE call_id = e.call_id
            AND entry = CASE e.entry WHEN 'open' THEN 'open' ELSE 'corrected' END)
    THEN RETURN NULL;
    END IF;
    SELECT sum(posted) INTO was FROM journal WHERE call_id = e.call_id;
    line.at := clock_timestamp();
    line.entry := CASE e.entry WHEN 'open' THEN 'open' ELSE 'corrected' END;
    line.vendor_ref := e.vendor_ref;
    line.note := e.note;
    line.held := 0;
    line.posted := 0;
    IF e.entry <> 'open' THEN
        line.product := e.product;
        line.unit := e.unit;
        line.quantity := e.quantity;
        line.price_version := e.price_version;
        line.nano_dollars := CASE e.entry WHEN 'released' THEN 0 ELSE e.nano_dollars END;
        line.posted := line.nano_dollars - was;
    END IF;
    RETURN line;
END $$;

-- The entry that ends a call; none if it has ended. Its hold is let go here, and that is why it ends
-- once.
CREATE FUNCTION end_call(e call_end) RETURNS journal
LANGUAGE plpgsql AS $$
DECLARE
    h holds;
BEGIN
    IF e.entry = 'open' THEN
        UPDATE holds SET vendor_ref = e.vendor_ref WHERE call_id = e.call_id RETURNING * INTO h;
    ELSE
        DELETE FROM holds WHERE call_id = e.call_id RETURNING * INTO h;
    END IF;
    IF NOT FOUND THEN
        RETURN correct_call(e);
    END IF;
    RETURN ROW(NULL, clock_timestamp(), h.call_id, e.entry, h.service, h.operation, e.product,
        e.unit, e.quantity, e.nano_dollars, e.price_version, h.origin, h.endpoint, h.collection,
        h.document_id, coalesce(e.vendor_ref, h.vendor_ref), e.note, h.at,
        CASE e.entry WHEN 'open' THEN 0 ELSE - h.nano_dollars END,
        CASE WHEN e.entry IN ('open', 'released') THEN 0 ELSE e.nano_dollars END)::journal;
END $$;

CREATE FUNCTION end_calls(ends jsonb) RETURNS journal[]
LANGUAGE plpgsql AS $$
DECLARE
    e call_end;
    entries journal[] := '{}';
BEGIN
    -- In an order that everybody keeps.
    FOR e IN SELECT * FROM jsonb_populate_recordset(NULL::call_end, ends) ORDER BY call_id LOOP
        entries := entries || end_call(e);
    END LOOP;
    RETURN array_remove(entries, NULL);
END $$;

-- The entries of calls that are about to leave.
CREATE FUNCTION hold_calls(asked jsonb) RETURNS journal[]
LANGUAGE plpgsql AS $$
DECLARE
    now_at timestamptz := clock_timestamp();
BEGIN
    RETURN (SELECT array_agg(ROW(NULL, now_at, h.call_id, 'held', h.service, h.operation,
        h.product, h.unit, h.quantity, h.nano_dollars, h.price_version, h.origin, h.endpoint,
        h.collection, h.document_id, NULL, '', now_at, h.nano_dollars, 0)::journal)
        FROM jsonb_populate_recordset(NULL::holds, asked) h);
END $$;

CREATE FUNCTION write_entries(entries journal[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    WITH written AS (
        INSERT INTO journal (at, call_id, entry, service, operation, product, unit, quantity,
            nano_dollars, price_version, origin, endpoint, collection, document_id, vendor_ref,
            note, held_at, held, posted)
        SELECT at, call_id, entry, service, operation, product, unit, quantity,
            nano_dollars, price_version, origin, endpoint, collection, document_id, vendor_ref,
            note, held_at, held, posted
        FROM unnest(entries)
        RETURNING *)
    INSERT INTO holds (call_id, at, service, operation, product, unit, quantity, nano_dollars,
        price_version, origin, endpoint, collection, document_id)
    SELECT call_id, held_at, service, operation, product, unit, quantity, nano_dollars,
        price_version, origin, endpoint, collection, document_id
    FROM written WHERE entry = 'held';
END $$;

-- The ends of calls and the holds of others, in one transaction: the only writer of the ledger.
-- An end is a `call_end`, one for each call; a hold is as its table. Answers
-- {"refused": {call_id: balance}, "alerts": [balance]}, null for none.
CREATE FUNCTION keep_ledger(ends jsonb, asked jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    ending journal[];
    holding journal[];
    refused jsonb;
    alerts jsonb;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(limits_lock());
    ending := end_calls(ends);
    holding := hold_calls(asked);
    SELECT * INTO refused, alerts FROM keep_balances(ending, holding);
    IF refused IS NOT NULL THEN
        holding := (SELECT array_agg(h) FROM unnest(holding) h
                    WHERE NOT refused ? h.call_id::text);
    END IF;
    PERFORM write_entries(ending || holding);
    RETURN jsonb_build_object('refused', refused, 'alerts', alerts);
END $$;

-- Sets a limit, or changes it; NULL says that there is none. Balances of the present window are
-- made anew or changed; where more is spent and held than the new limit, the overrun says so.
CREATE FUNCTION set_limit(of_origin text, of_scope text, of_key text, of_period text, amount bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changed integer;
BEGIN
    PERFORM pg_advisory_xact_lock(limits_lock());
    INSERT INTO limits (origin, scope, key, period, nano_dollars)
    VALUES (of_origin, of_scope, of_key, of_period, amount)
    ON CONFLICT (origin, scope, key, period)
        DO UPDATE SET nano_dollars = excluded.nano_dollars, set_at = clock_timestamp()
    RETURNING id INTO changed;
    IF amount IS NULL THEN
        DELETE FROM balances WHERE limit_id = changed;
        RETURN;
    END IF;
    UPDATE balances SET
        nano_dollars = amount,
        overrun = greatest(0, posted + held - amount),
        alerted = least(alerted, threshold(posted, amount))
    WHERE limit_id = changed;
    IF of_scope = 'global' OR of_key <> '' THEN
        INSERT INTO balances (limit_id, key, starts_at, ends_at, nano_dollars, posted, held, overrun)
        SELECT changed, of_key, s, window_end(of_period, s), amount, f.posted, f.held,
               greatest(0, f.posted + f.held - amount)
        FROM window_start(of_period, clock_timestamp()) s, LATERAL folded(changed, of_key, s) f
        ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- Removes a limit with its balances; false if there was none.
CREATE FUNCTION clear_limit(of_origin text, of_scope text, of_key text, of_period text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(limits_lock());
    DELETE FROM limits
    WHERE origin = of_origin AND scope = of_scope AND key = of_key AND period = of_period;
    RETURN FOUND;
END $$;

-- What each call costs as far as is known: the last word replaces the bound.
CREATE OR REPLACE VIEW calls AS
SELECT
    call_id,
    min(held_at) AS at,
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
