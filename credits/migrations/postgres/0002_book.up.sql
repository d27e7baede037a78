-- Splits lose their foreign keys: the ledger is append-only, so they can only slow it
-- down, and a split may name no grant, where an account went into debt. Verify looks
-- instead.
ALTER TABLE credits_splits DROP CONSTRAINT IF EXISTS credits_splits_account_id_unit_number_fkey;

ALTER TABLE credits_splits DROP CONSTRAINT IF EXISTS credits_splits_account_id_grant_id_fkey;

-- version grows with every change of anything of the account's. entered_at is when the
-- newest entry was made; next_at, if it is set, is not after the moment at which
-- something is due by itself: a grant ends, a hold does.
ALTER TABLE credits_accounts
    ADD COLUMN version BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN replays BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN entered_at TIMESTAMPTZ,
    ADD COLUMN next_at TIMESTAMPTZ;

CREATE INDEX credits_accounts_due ON credits_accounts (next_at) WHERE next_at IS NOT NULL;

-- held is the part of remaining that is set aside. operations, one a line, are those
-- that the grant is for; none is all. origin is the grant in whose place this one is.
ALTER TABLE credits_grants
    ADD COLUMN held BIGINT NOT NULL DEFAULT 0 CHECK (held >= 0),
    ADD COLUMN operations TEXT NOT NULL DEFAULT '',
    ADD COLUMN origin TEXT NOT NULL DEFAULT '',
    ADD CONSTRAINT credits_grants_held CHECK (held <= remaining);

-- What an index is on, its condition too, keeps an update from staying within its page.
-- So the condition is a column that changes when a grant is empty and not with each
-- credit.
ALTER TABLE credits_grants ADD COLUMN filled BOOLEAN GENERATED ALWAYS AS (remaining > 0) STORED;

DROP INDEX credits_grants_live;

CREATE INDEX credits_grants_live ON credits_grants (account_id, unit) WHERE filled;

ALTER TABLE credits_grants SET (fillfactor = 50);

ALTER TABLE credits_accounts SET (fillfactor = 50);

-- basis says how the amount came about, hold_id which hold was settled.
ALTER TABLE credits_entries
    ADD COLUMN basis TEXT NOT NULL DEFAULT '',
    ADD COLUMN hold_id TEXT NOT NULL DEFAULT '';

-- An entry has its key, with the digest of what was asked for, and its grant, if it is
-- of one only; so most of what happens is one row. credits_keys keeps what was refused,
-- and what has no entry.
ALTER TABLE credits_entries
    ADD COLUMN grant_id TEXT NOT NULL DEFAULT '',
    ADD COLUMN hash TEXT NOT NULL DEFAULT '';

CREATE UNIQUE INDEX credits_entries_keys ON credits_entries (account_id, key) WHERE key <> '';

ALTER TABLE credits_keys ADD COLUMN hold_id TEXT NOT NULL DEFAULT '';

-- What is in the accounts by now ends without a sweep that would have looked for it.
UPDATE credits_accounts AS a SET next_at = (
    SELECT MIN(g.expires_at) FROM credits_grants AS g
    WHERE g.account_id = a.account_id AND g.unit = a.unit AND g.remaining > 0),
    entered_at = (SELECT MAX(e.at) FROM credits_entries AS e WHERE e.account_id = a.account_id AND e.unit = a.unit AND e.number = a.number);
