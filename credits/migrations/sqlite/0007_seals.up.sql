-- The chain over an account's ledger: one row for each entry that is sealed. Package
-- seals writes it; it stays empty where that is not used. WITHOUT ROWID, as for the
-- entries.
CREATE TABLE credits_seals (
    account_id TEXT NOT NULL,
    unit       TEXT NOT NULL,
    number     BIGINT NOT NULL,
    hash       TEXT NOT NULL,
    PRIMARY KEY (account_id, unit, number)
) WITHOUT ROWID;

CREATE TRIGGER credits_seals_no_replace BEFORE INSERT ON credits_seals
WHEN EXISTS (SELECT 1 FROM credits_seals WHERE account_id = NEW.account_id AND unit = NEW.unit AND number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'credits_seals is append-only'); END;

CREATE TRIGGER credits_seals_no_update BEFORE UPDATE ON credits_seals
BEGIN SELECT RAISE(ABORT, 'credits_seals is append-only'); END;

CREATE TRIGGER credits_seals_no_delete BEFORE DELETE ON credits_seals
BEGIN SELECT RAISE(ABORT, 'credits_seals is append-only'); END;
