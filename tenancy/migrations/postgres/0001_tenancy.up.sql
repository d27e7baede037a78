CREATE TABLE tenancy_plans (
    slug            TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    active          BOOLEAN NOT NULL,
    prices          JSON NOT NULL,
    monthly_credits BIGINT NOT NULL CHECK (monthly_credits >= 0),
    trial_days      BIGINT NOT NULL CHECK (trial_days >= 0),
    rate            DOUBLE PRECISION NOT NULL CHECK (rate >= 0),
    burst           BIGINT NOT NULL CHECK (burst >= 0),
    limits          JSON NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL
);

CREATE TABLE tenancy_accounts (
    account_id     TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    status         TEXT NOT NULL,
    suspended_from TEXT NOT NULL DEFAULT '',
    plan           TEXT NOT NULL,
    owner_id       TEXT NOT NULL,
    zone           TEXT NOT NULL,
    trial_ends_at  TIMESTAMPTZ,
    grace_ends_at  TIMESTAMPTZ,
    paid_until     TIMESTAMPTZ,
    created_at     TIMESTAMPTZ NOT NULL,
    updated_at     TIMESTAMPTZ NOT NULL
);

-- A person, who may belong to several accounts or to none: found by e-mail address
-- from outside any account.
CREATE TABLE tenancy_users (
    user_id    TEXT PRIMARY KEY,
    email      TEXT,
    email_key  TEXT UNIQUE,
    name       TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE tenancy_members (
    account_id TEXT NOT NULL REFERENCES tenancy_accounts (account_id),
    user_id    TEXT NOT NULL REFERENCES tenancy_users (user_id),
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account_id, user_id)
);

CREATE INDEX tenancy_members_user ON tenancy_members (user_id);

CREATE TABLE tenancy_member_roles (
    account_id TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    role       TEXT NOT NULL,
    PRIMARY KEY (account_id, user_id, role),
    FOREIGN KEY (account_id, user_id) REFERENCES tenancy_members (account_id, user_id)
);

-- Ids are in order of time when they are compared byte by byte, which not every
-- collation does.
CREATE TABLE tenancy_events (
    account_id TEXT NOT NULL,
    event_id   TEXT COLLATE "C" NOT NULL,
    kind       TEXT NOT NULL,
    data       JSON NOT NULL,
    at         TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account_id, event_id)
);

-- The events that are still to be delivered. due_at is the beginning of time until
-- a delivery fails.
CREATE TABLE tenancy_deliveries (
    account_id TEXT NOT NULL,
    event_id   TEXT COLLATE "C" NOT NULL,
    attempts   BIGINT NOT NULL,
    due_at     TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account_id, event_id)
);

CREATE INDEX tenancy_deliveries_due ON tenancy_deliveries (due_at, event_id);

CREATE TABLE tenancy_leases (
    name   TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until  TIMESTAMPTZ NOT NULL
);

CREATE TABLE tenancy_audit (
    account_id TEXT NOT NULL,
    audit_id   TEXT COLLATE "C" NOT NULL,
    at         TIMESTAMPTZ NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id   TEXT NOT NULL,
    action     TEXT NOT NULL,
    target     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    data       JSON NOT NULL,
    PRIMARY KEY (account_id, audit_id)
);

