-- Each unit of an account is a ledger of its own, with keys of its own: what is under way
-- in one neither holds up the other nor answers for it.
DROP INDEX credits_entries_keys;

CREATE UNIQUE INDEX credits_entries_keys ON credits_entries (account_id, unit, key) WHERE key <> '';

ALTER TABLE credits_keys DROP CONSTRAINT credits_keys_pkey;

ALTER TABLE credits_keys ADD PRIMARY KEY (account_id, unit, key);
