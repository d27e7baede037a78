-- Where a key was used in two units there is no way back: nothing is changed then.
ALTER TABLE credits_keys DROP CONSTRAINT credits_keys_pkey;

ALTER TABLE credits_keys ADD PRIMARY KEY (account_id, key);

DROP INDEX credits_entries_keys;

CREATE UNIQUE INDEX credits_entries_keys ON credits_entries (account_id, key) WHERE key <> '';
