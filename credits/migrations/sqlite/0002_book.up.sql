-- Splits lose their foreign keys: the ledger is append-only, so they can only slow it
-- down, and a split may name no grant, where an account went into debt. Verify looks
-- instead.
ALTER TABLE credits_splits RENAME TO credits_splits_before;

DROP TRIGGER credits_splits_no_replace;

DROP TRIGGER credits_splits_no_update;

DROP TRIGGER credits_splits_no_delete;

CREATE TABLE credits_splits (
    account_id TEXT NOT NULL,
    unit       TEXT NOT NULL,
    number     BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    grant_id   TEXT NOT NULL,
    amount     BIGINT NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (account_id, unit, number, position)
) WITHOUT ROWID;

INSERT INTO credits_splits SELECT account_id, unit, number, position, grant_id, amount FROM credits_splits_before;

DROP TABLE credits_splits_before;

CREATE TRIGGER credits_splits_no_replace BEFORE INSERT ON credits_splits
WHEN EXISTS (SELECT 1 FROM credits_splits WHERE account_id = NEW.account_id AND unit = NEW.unit AND number = NEW.number AND position = NEW.position)
BEGIN SELECT RAISE(ABORT, 'credits_splits is append-only'); END;

CREATE TRIGGER credits_splits_no_update BEFORE UPDATE ON credits_splits
BEGIN SELECT RAISE(ABORT, 'credits_splits is append-only'); END;

CREATE TRIGGER credits_splits_no_delete BEFORE DELETE ON credits_splits
BEGIN SELECT RAISE(ABORT, 'credits_splits is append-only'); END;

-- version grows with every change of anything of the account's. entered_at is when the
-- newest entry was made; next_at, if it is set, is not after the moment at which
-- something is due by itself: a grant ends, a hold does.
ALTER TABLE credits_accounts ADD COLUMN version BIGINT NOT NULL DEFAULT 0;

ALTER TABLE credits_accounts ADD COLUMN replays BIGINT NOT NULL DEFAULT 0;

ALTER TABLE credits_accounts ADD COLUMN entered_at TIMESTAMP;

ALTER TABLE credits_accounts ADD COLUMN next_at TIMESTAMP;

CREATE INDEX credits_accounts_due ON credits_accounts (next_at) WHERE next_at IS NOT NULL;

-- held is the part of remaining that is set aside. operations, one a line, are those
-- that the grant is for; none is all. origin is the grant in whose place this one is.
ALTER TABLE credits_grants ADD COLUMN held BIGINT NOT NULL DEFAULT 0 CHECK (held BETWEEN 0 AND remaining);

ALTER TABLE credits_grants ADD COLUMN operations TEXT NOT NULL DEFAULT '';

ALTER TABLE credits_grants ADD COLUMN origin TEXT NOT NULL DEFAULT '';

-- On PostgreSQL it keeps an update within its page.
ALTER TABLE credits_grants ADD COLUMN filled BOOLEAN GENERATED ALWAYS AS (remaining > 0) VIRTUAL;

DROP INDEX credits_grants_live;

CREATE INDEX credits_grants_live ON credits_grants (account_id, unit) WHERE filled;

-- basis says how the amount came about, hold_id which hold was settled.
ALTER TABLE credits_entries ADD COLUMN basis TEXT NOT NULL DEFAULT '';

ALTER TABLE credits_entries ADD COLUMN hold_id TEXT NOT NULL DEFAULT '';

-- An entry has its key, with the digest of what was asked for, and its grant, if it is
-- of one only; so most of what happens is one row. credits_keys keeps what was refused,
-- and what has no entry.
ALTER TABLE credits_entries ADD COLUMN grant_id TEXT NOT NULL DEFAULT '';

ALTER TABLE credits_entries ADD COLUMN hash TEXT NOT NULL DEFAULT '';

CREATE UNIQUE INDEX credits_entries_keys ON credits_entries (account_id, key) WHERE key <> '';

ALTER TABLE credits_keys ADD COLUMN hold_id TEXT NOT NULL DEFAULT '';

-- What is in the accounts by now ends without a sweep that would have looked for it.
UPDATE credits_accounts AS a SET next_at = (
    SELECT MIN(g.expires_at) FROM credits_grants AS g
    WHERE g.account_id = a.account_id AND g.unit = a.unit AND g.remaining > 0),
    entered_at = (SELECT MAX(e.at) FROM credits_entries AS e WHERE e.account_id = a.account_id AND e.unit = a.unit AND e.number = a.number);
