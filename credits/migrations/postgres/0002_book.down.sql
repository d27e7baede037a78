-- The foreign keys do not come back: what they refused is there by now, and the
-- program before this version needs none.
ALTER TABLE credits_keys DROP COLUMN hold_id;

ALTER TABLE credits_entries
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
    DROP COLUMN entered_at,
    DROP COLUMN next_at;
