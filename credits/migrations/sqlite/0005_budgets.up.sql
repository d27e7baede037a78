-- What an actor of an account may spend in a period. used is what it spent in the one
-- that began at since, held what its open holds hold; entries up to number do not count.
CREATE TABLE credits_budgets (
    account_id   TEXT NOT NULL,
    unit         TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject_id   TEXT NOT NULL,
    amount       BIGINT NOT NULL CHECK (amount >= 0),
    used         BIGINT NOT NULL CHECK (used >= 0),
    held         BIGINT NOT NULL CHECK (held >= 0),
    period       TEXT NOT NULL,
    zone         TEXT NOT NULL,
    number       BIGINT NOT NULL,
    since        TIMESTAMP NOT NULL,
    until        TIMESTAMP,
    created_at   TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, unit, subject_kind, subject_id)
);

-- Levels of what an account can spend that somebody wants to hear of. reached_at is when
-- it fell to low; it is unset again when that rises to reset.
CREATE TABLE credits_thresholds (
    account_id TEXT NOT NULL,
    unit       TEXT NOT NULL,
    name       TEXT NOT NULL,
    low        BIGINT NOT NULL CHECK (low >= 0),
    reset      BIGINT NOT NULL,
    reached_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, unit, name),
    CHECK (reset > low)
);

-- How many rows of the two there are: an account without any costs nothing more.
ALTER TABLE credits_accounts ADD COLUMN budgets BIGINT NOT NULL DEFAULT 0;

ALTER TABLE credits_accounts ADD COLUMN thresholds BIGINT NOT NULL DEFAULT 0;

-- On whose behalf the actor spends: a key's, on that of the member who made it.
ALTER TABLE credits_entries ADD COLUMN on_behalf_kind TEXT NOT NULL DEFAULT '';

ALTER TABLE credits_entries ADD COLUMN on_behalf_id TEXT NOT NULL DEFAULT '';

ALTER TABLE credits_holds ADD COLUMN on_behalf_kind TEXT NOT NULL DEFAULT '';

ALTER TABLE credits_holds ADD COLUMN on_behalf_id TEXT NOT NULL DEFAULT '';

-- What else a refusal said than need and have.
ALTER TABLE credits_keys ADD COLUMN detail TEXT NOT NULL DEFAULT '';
