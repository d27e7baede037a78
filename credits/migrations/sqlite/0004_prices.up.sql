-- What an operation costs, from when on: for everybody ('') or for one account. WITHOUT
-- ROWID, as for the entries.
CREATE TABLE credits_prices (
    account_id   TEXT NOT NULL,
    operation    TEXT NOT NULL,
    version      BIGINT NOT NULL CHECK (version > 0),
    ended        BOOLEAN NOT NULL,
    fixed        BIGINT NOT NULL CHECK (fixed >= 0),
    minimum      BIGINT NOT NULL CHECK (minimum >= 0),
    rounding     TEXT NOT NULL,
    components   TEXT NOT NULL,
    effective_at TIMESTAMP NOT NULL,
    created_at   TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, operation, version)
) WITHOUT ROWID;

CREATE INDEX credits_prices_in_effect ON credits_prices (account_id, operation, effective_at, version);

CREATE TRIGGER credits_prices_no_replace BEFORE INSERT ON credits_prices
WHEN EXISTS (SELECT 1 FROM credits_prices WHERE account_id = NEW.account_id AND operation = NEW.operation AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'credits_prices is append-only'); END;

CREATE TRIGGER credits_prices_no_update BEFORE UPDATE ON credits_prices
BEGIN SELECT RAISE(ABORT, 'credits_prices is append-only'); END;

CREATE TRIGGER credits_prices_no_delete BEFORE DELETE ON credits_prices
BEGIN SELECT RAISE(ABORT, 'credits_prices is append-only'); END;
