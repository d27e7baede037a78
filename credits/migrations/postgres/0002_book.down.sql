-- The foreign keys do not come back: what they refused is there by now, and the
-- program before this version needs none.
ALTER TABLE credits_keys DROP COLUMN hold_id;

-- What is in an entry goes back to where the program before this version looks for it.
INSERT INTO credits_splits (account_id, unit, number, position, grant_id, amount)
SELECT account_id, unit, number, 1, grant_id, amount FROM credits_entries WHERE grant_id <> '';

INSERT INTO credits_keys (account_id, key, hash, unit, outcome, number, created_at)
SELECT account_id, key, hash, unit, 'entry', number, at FROM credits_entries WHERE hash <> '';

DROP INDEX credits_entries_keys;

ALTER TABLE credits_entries
    DROP COLUMN grant_id,
    DROP COLUMN hash,
    DROP COLUMN basis,
    DROP COLUMN hold_id;

ALTER TABLE credits_accounts RESET (fillfactor);

ALTER TABLE credits_grants RESET (fillfactor);

DROP INDEX credits_grants_live;

ALTER TABLE credits_grants DROP COLUMN filled;

CREATE INDEX credits_grants_live ON credits_grants (account_id, unit) WHERE remaining > 0;

ALTER TABLE credits_grants
    DROP CONSTRAINT credits_grants_held,
    DROP COLUMN held,
    DROP COLUMN operations,
    DROP COLUMN origin;

DROP INDEX credits_accounts_due;

ALTER TABLE credits_accounts
    DROP COLUMN version,
    DROP COLUMN replays,
    DROP COLUMN entered_at,
    DROP COLUMN next_at;
