-- The lock of an account's credits, and what its entries add up to. A later unit of
-- credit is another row.
CREATE TABLE credits_accounts (
    account_id TEXT NOT NULL,
    unit       TEXT NOT NULL,
    booked     BIGINT NOT NULL,
    held       BIGINT NOT NULL DEFAULT 0 CHECK (held >= 0),
    debt       BIGINT NOT NULL DEFAULT 0 CHECK (debt >= 0),
    number     BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, unit),
    CHECK (booked + debt >= 0)
);

CREATE TABLE credits_grants (
    account_id   TEXT NOT NULL,
    grant_id     TEXT NOT NULL,
    unit         TEXT NOT NULL,
    category     TEXT NOT NULL,
    priority     BIGINT NOT NULL,
    amount       BIGINT NOT NULL CHECK (amount > 0),
    remaining    BIGINT NOT NULL CHECK (remaining >= 0),
    effective_at TIMESTAMP NOT NULL,
    expires_at   TIMESTAMP,
    number       BIGINT NOT NULL,
    created_at   TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, grant_id),
    CHECK (remaining <= amount)
);

CREATE INDEX credits_grants_live ON credits_grants (account_id, unit) WHERE remaining > 0;

-- WITHOUT ROWID: a rowid would be a second key, by which REPLACE gets past the
-- triggers below.
CREATE TABLE credits_entries (
    account_id TEXT NOT NULL,
    unit       TEXT NOT NULL,
    number     BIGINT NOT NULL,
    kind       TEXT NOT NULL,
    amount     BIGINT NOT NULL CHECK (amount <> 0),
    balance    BIGINT NOT NULL,
    spendable  BIGINT NOT NULL,
    refund_of  BIGINT,
    key        TEXT NOT NULL,
    operation  TEXT NOT NULL,
    note       TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id   TEXT NOT NULL,
    at         TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, unit, number)
) WITHOUT ROWID;

CREATE INDEX credits_entries_refunds ON credits_entries (account_id, unit, refund_of) WHERE refund_of IS NOT NULL;

-- How much an entry put into a grant or took from it, in the order it was taken.
CREATE TABLE credits_splits (
    account_id TEXT NOT NULL,
    unit       TEXT NOT NULL,
    number     BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    grant_id   TEXT NOT NULL,
    amount     BIGINT NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (account_id, unit, number, position),
    FOREIGN KEY (account_id, unit, number) REFERENCES credits_entries (account_id, unit, number),
    FOREIGN KEY (account_id, grant_id) REFERENCES credits_grants (account_id, grant_id)
) WITHOUT ROWID;

-- What became of an idempotency key, for ever. A replay writes here, so that its
-- answer is as durable as the first one.
CREATE TABLE credits_keys (
    account_id TEXT NOT NULL,
    key        TEXT NOT NULL,
    hash       TEXT NOT NULL,
    unit       TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    number     BIGINT,
    need       BIGINT NOT NULL DEFAULT 0,
    have       BIGINT NOT NULL DEFAULT 0,
    replays    BIGINT NOT NULL DEFAULT 0,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, key)
);

-- INSERT OR REPLACE deletes without a delete trigger, unless recursive_triggers is on.
CREATE TRIGGER credits_entries_no_replace BEFORE INSERT ON credits_entries
WHEN EXISTS (SELECT 1 FROM credits_entries WHERE account_id = NEW.account_id AND unit = NEW.unit AND number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'credits_entries is append-only'); END;

CREATE TRIGGER credits_entries_no_update BEFORE UPDATE ON credits_entries
BEGIN SELECT RAISE(ABORT, 'credits_entries is append-only'); END;

CREATE TRIGGER credits_entries_no_delete BEFORE DELETE ON credits_entries
BEGIN SELECT RAISE(ABORT, 'credits_entries is append-only'); END;

CREATE TRIGGER credits_splits_no_replace BEFORE INSERT ON credits_splits
WHEN EXISTS (SELECT 1 FROM credits_splits WHERE account_id = NEW.account_id AND unit = NEW.unit AND number = NEW.number AND position = NEW.position)
BEGIN SELECT RAISE(ABORT, 'credits_splits is append-only'); END;

CREATE TRIGGER credits_splits_no_update BEFORE UPDATE ON credits_splits
BEGIN SELECT RAISE(ABORT, 'credits_splits is append-only'); END;

CREATE TRIGGER credits_splits_no_delete BEFORE DELETE ON credits_splits
BEGIN SELECT RAISE(ABORT, 'credits_splits is append-only'); END;
