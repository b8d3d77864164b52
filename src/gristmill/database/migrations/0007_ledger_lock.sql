-- The ledger is written by one at a time. Every paid call counts against the same limits, so its
-- writers waited for one another at their balances all the same; now they do so before they look,
-- nothing needs to be locked row by row, and nobody can meet anybody in the wrong order.

DROP FUNCTION keep_balances, movements, open_balances, lock_balances, move_balances,
    move_what_fits, raise_alerts, limits_lock;
DROP TYPE movement;

-- Whoever writes the ledger or changes a limit has this lock until the end of the transaction.
CREATE FUNCTION ledger_lock() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 7266512302';

-- What entries of the journal do to one balance; `balance` is NULL as long as it has no row.
CREATE TYPE movement AS (
    limit_id integer, key text, starts_at timestamptz, balance bigint,
    held bigint, posted bigint, is_asked boolean);

-- All that entries do: whether each balance has its row, whether what is asked fits, and whether a
-- threshold is passed. NULL where no limit is concerned.
CREATE TYPE forecast AS (
    moves movement[], is_whole boolean, is_room boolean, is_passed boolean);

CREATE FUNCTION foresee(entries journal[]) RETURNS forecast
LANGUAGE plpgsql AS $$
DECLARE
    f forecast;
BEGIN
    SELECT array_agg(ROW(m.limit_id, m.key, m.starts_at, b.id, m.held, m.posted,
                         m.is_asked)::movement),
           bool_and(b.id IS NOT NULL),
           bool_and(NOT m.is_asked OR b.posted + m.posted + b.held + m.held <= b.nano_dollars),
           bool_or(threshold(b.posted + m.posted, b.nano_dollars) > b.alerted)
    INTO f
    FROM (
        SELECT l.id AS limit_id, k.key, w.starts_at, sum(e.held)::bigint AS held,
               sum(e.posted)::bigint AS posted, bool_or(e.held > 0) AS is_asked
        FROM unnest(entries) e
        JOIN limits l ON l.origin = e.origin AND l.nano_dollars IS NOT NULL
        CROSS JOIN LATERAL (SELECT CASE l.scope
            WHEN 'global' THEN '' WHEN 'service' THEN e.service
            WHEN 'collection' THEN e.collection ELSE e.document_id END) k (key)
        CROSS JOIN LATERAL (SELECT window_start(l.period, e.held_at)) w (starts_at)
        WHERE k.key IS NOT NULL AND l.key IN ('', k.key)
        GROUP BY l.id, k.key, w.starts_at) m
    LEFT JOIN balances b
        ON b.limit_id = m.limit_id AND b.key = m.key AND b.starts_at = m.starts_at;
    RETURN f;
END $$;

-- Makes the rows of balances that are missing, from the journal, before anything is written to it.
CREATE FUNCTION open_balances(moves movement[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO balances (limit_id, key, starts_at, ends_at, nano_dollars, posted, held, overrun)
    SELECT l.id, m.key, m.starts_at, window_end(l.period, m.starts_at), l.nano_dollars,
           f.posted, f.held, greatest(0, f.posted + f.held - l.nano_dollars)
    FROM unnest(moves) m JOIN limits l ON l.id = m.limit_id,
    LATERAL folded(l.id, m.key, m.starts_at) f
    WHERE m.balance IS NULL;
END $$;

-- Settlements may pass a limit, and then say by how much. What holds ask has been found to fit;
-- were it not so, the table's constraint would refuse it here.
CREATE FUNCTION move_balances(moves movement[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE balances b SET
        held = b.held + m.held, posted = b.posted + m.posted,
        overrun = CASE WHEN m.is_asked THEN 0
            ELSE greatest(0, b.posted + m.posted + b.held + m.held - b.nano_dollars) END
    FROM unnest(moves) m WHERE b.id = m.balance;
END $$;

-- The balance that refuses a hold, if one does; of several, the last that will have room for it.
CREATE FUNCTION refusal(moves movement[]) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT to_jsonb(t) FROM (
        SELECT b.id, l.origin, l.scope, b.key, l.period, b.nano_dollars, b.posted, b.held,
               CASE WHEN isfinite(b.ends_at) THEN extract(epoch FROM b.ends_at) END AS ends_at,
               CASE WHEN isfinite(b.ends_at)
                    THEN extract(epoch FROM b.ends_at - clock_timestamp()) END AS seconds_left,
               m.held AS asked
        FROM unnest(moves) m JOIN balances b ON b.id = m.balance JOIN limits l ON l.id = b.limit_id
        WHERE m.is_asked AND b.posted + b.held + m.held > b.nano_dollars
        ORDER BY b.posted + m.held > b.nano_dollars DESC, b.ends_at DESC, b.id LIMIT 1) t);
END $$;

-- Moves what calls have ended, then holds as far as there is room, each for itself: a refused one
-- leaves its room to the next. Answers {call_id: balance} of the refused ones.
CREATE FUNCTION move_what_fits(ending journal[], holding journal[]) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    f forecast := foresee(ending);
    one journal;
    refused jsonb := '{}';
BEGIN
    PERFORM move_balances(f.moves);
    FOREACH one IN ARRAY holding LOOP
        f := foresee(ARRAY[one]);
        IF f.is_room THEN
            PERFORM move_balances(f.moves);
        ELSIF f.moves IS NOT NULL THEN
            refused := refused || jsonb_build_object(one.call_id, refusal(f.moves));
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
    f forecast := foresee(ending || holding);
BEGIN
    IF f.moves IS NULL THEN
        RETURN;
    END IF;
    IF NOT f.is_whole THEN
        PERFORM open_balances(f.moves);
        f := foresee(ending || holding);
    END IF;
    IF f.is_room THEN
        PERFORM move_balances(f.moves);
    ELSE
        refused := move_what_fits(ending, holding);
    END IF;
    IF f.is_passed OR NOT f.is_room THEN
        alerts := raise_alerts(f.moves, refused);
    END IF;
END $$;

-- The entry that ends a call; none if it has ended, or is open already. Its hold is let go here, and
-- that is why it ends once.
CREATE OR REPLACE FUNCTION end_call(e call_end) RETURNS journal
LANGUAGE plpgsql AS $$
DECLARE
    h holds;
BEGIN
    IF e.entry = 'open' THEN
        UPDATE holds SET vendor_ref = e.vendor_ref
        WHERE call_id = e.call_id AND vendor_ref IS NULL RETURNING * INTO h;
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

CREATE OR REPLACE FUNCTION end_calls(ends jsonb) RETURNS journal[]
LANGUAGE plpgsql AS $$
DECLARE
    e call_end;
    entries journal[] := '{}';
BEGIN
    FOREACH e IN ARRAY ARRAY(SELECT r FROM jsonb_populate_recordset(NULL::call_end, ends) r) LOOP
        entries := entries || end_call(e);
    END LOOP;
    RETURN array_remove(entries, NULL);
END $$;

CREATE OR REPLACE FUNCTION hold_calls(asked jsonb) RETURNS journal[]
LANGUAGE plpgsql AS $$
DECLARE
    now_at timestamptz := clock_timestamp();
BEGIN
    RETURN ARRAY(SELECT ROW(NULL, now_at, h.call_id, 'held', h.service, h.operation,
        h.product, h.unit, h.quantity, h.nano_dollars, h.price_version, h.origin, h.endpoint,
        h.collection, h.document_id, NULL, '', now_at, h.nano_dollars, 0)::journal
        FROM jsonb_populate_recordset(NULL::holds, asked) h);
END $$;

CREATE OR REPLACE FUNCTION write_entries(entries journal[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO journal (at, call_id, entry, service, operation, product, unit, quantity,
        nano_dollars, price_version, origin, endpoint, collection, document_id, vendor_ref,
        note, held_at, held, posted)
    SELECT at, call_id, entry, service, operation, product, unit, quantity,
        nano_dollars, price_version, origin, endpoint, collection, document_id, vendor_ref,
        note, held_at, held, posted
    FROM unnest(entries);
END $$;

CREATE FUNCTION write_holds(entries journal[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO holds (call_id, at, service, operation, product, unit, quantity, nano_dollars,
        price_version, origin, endpoint, collection, document_id)
    SELECT call_id, held_at, service, operation, product, unit, quantity, nano_dollars,
        price_version, origin, endpoint, collection, document_id
    FROM unnest(entries);
END $$;

-- The ends of calls and the holds of others, in one transaction: the only writer of the ledger.
-- An end is a `call_end`, one for each call; a hold is as its table. Answers
-- {"refused": {call_id: balance}, "alerts": [balance]}, null for none; NULL if there is neither.
CREATE OR REPLACE FUNCTION keep_ledger(ends jsonb, asked jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    ending journal[] := '{}';
    holding journal[] := '{}';
    told record;
BEGIN
    PERFORM pg_advisory_xact_lock(ledger_lock());
    IF ends <> '[]' THEN
        ending := end_calls(ends);
    END IF;
    IF asked <> '[]' THEN
        holding := hold_calls(asked);
    END IF;
    told := keep_balances(ending, holding);
    IF told.refused IS NOT NULL THEN
        holding := ARRAY(SELECT h FROM unnest(holding) h
                         WHERE NOT told.refused ? h.call_id::text);
    END IF;
    PERFORM write_entries(ending || holding);
    IF holding <> '{}' THEN
        PERFORM write_holds(holding);
    END IF;
    RETURN CASE WHEN told.refused IS NOT NULL OR told.alerts IS NOT NULL THEN to_jsonb(told) END;
END $$;

-- Sets a limit, or changes it; NULL says that there is none. Balances of the present window are
-- made anew or changed; where more is spent and held than the new limit, the overrun says so.
CREATE OR REPLACE FUNCTION set_limit(of_origin text, of_scope text, of_key text, of_period text,
    amount bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changed integer;
BEGIN
    PERFORM pg_advisory_xact_lock(ledger_lock());
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

CREATE OR REPLACE FUNCTION clear_limit(of_origin text, of_scope text, of_key text, of_period text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(ledger_lock());
    DELETE FROM limits
    WHERE origin = of_origin AND scope = of_scope AND key = of_key AND period = of_period;
    RETURN FOUND;
END $$;
