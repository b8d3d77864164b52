-- The balances of one window stand together: the present ones are found among those of all days.
ALTER TABLE balances
    DROP CONSTRAINT balances_limit_id_key_starts_at_key,
    ADD UNIQUE (limit_id, starts_at, key);
