CREATE TABLE billing_accounts (
    account_id TEXT PRIMARY KEY,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE billing_subscriptions (
    account_id           TEXT NOT NULL,
    subscription_id      TEXT NOT NULL,
    status               TEXT NOT NULL,
    plan                 TEXT NOT NULL,
    currency             TEXT NOT NULL,
    interval             TEXT NOT NULL,
    anchor_at            TIMESTAMPTZ NOT NULL,
    periods              BIGINT NOT NULL CHECK (periods > 0),
    period_start         TIMESTAMPTZ NOT NULL,
    period_end           TIMESTAMPTZ NOT NULL,
    cancel_at_period_end BOOLEAN NOT NULL DEFAULT FALSE,
    ended_at             TIMESTAMPTZ,
    created_at           TIMESTAMPTZ NOT NULL,
    updated_at           TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account_id, subscription_id),
    CHECK (period_start < period_end)
);

-- An account has one subscription at a time.
CREATE UNIQUE INDEX billing_subscriptions_current ON billing_subscriptions (account_id) WHERE ended_at IS NULL;

CREATE INDEX billing_subscriptions_due ON billing_subscriptions (period_end) WHERE ended_at IS NULL;

CREATE TABLE billing_transfers (
    account_id        TEXT NOT NULL,
    transfer_id       TEXT COLLATE "C" NOT NULL, -- the newest is the largest, in any locale
    reference         TEXT NOT NULL,
    status            TEXT NOT NULL,
    plan              TEXT NOT NULL,
    currency          TEXT NOT NULL,
    interval          TEXT NOT NULL,
    amount            BIGINT NOT NULL CHECK (amount > 0),
    credits           BIGINT NOT NULL CHECK (credits >= 0),
    requested_by_kind TEXT NOT NULL,
    requested_by_id   TEXT NOT NULL,
    requested_at      TIMESTAMPTZ NOT NULL,
    decided_by_kind   TEXT NOT NULL DEFAULT '',
    decided_by_id     TEXT NOT NULL DEFAULT '',
    decided_at        TIMESTAMPTZ,
    reason            TEXT NOT NULL DEFAULT '',
    subscription_id   TEXT NOT NULL DEFAULT '',
    period_start      TIMESTAMPTZ,
    period_end        TIMESTAMPTZ,
    entry             BIGINT,
    PRIMARY KEY (account_id, transfer_id)
);

CREATE INDEX billing_transfers_status ON billing_transfers (status, transfer_id);

CREATE INDEX billing_transfers_newest ON billing_transfers (transfer_id);

-- A payment names nothing but a reference: this finds the account it is for.
CREATE TABLE billing_references (
    reference   TEXT PRIMARY KEY,
    account_id  TEXT NOT NULL,
    transfer_id TEXT NOT NULL
);
