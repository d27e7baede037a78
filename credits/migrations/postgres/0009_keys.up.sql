-- Each unit of an account is a ledger of its own, with keys of its own: what is under way
-- in one neither holds up the other nor answers for it. credits_keys comes first, as in
-- every statement that reads both: the other way round, each would wait for the other.
ALTER TABLE credits_keys DROP CONSTRAINT credits_keys_pkey;

ALTER TABLE credits_keys ADD PRIMARY KEY (account_id, unit, key);

DROP INDEX credits_entries_keys;

CREATE UNIQUE INDEX credits_entries_keys ON credits_entries (account_id, unit, key) WHERE key <> '';
