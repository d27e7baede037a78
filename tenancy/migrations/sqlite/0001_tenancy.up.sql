CREATE TABLE tenancy_plans (
    slug            TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    active          BOOLEAN NOT NULL,
    prices          TEXT NOT NULL,
    monthly_credits BIGINT NOT NULL CHECK (monthly_credits >= 0),
    trial_days      BIGINT NOT NULL CHECK (trial_days >= 0),
    rate            DOUBLE PRECISION NOT NULL CHECK (rate >= 0),
    burst           BIGINT NOT NULL CHECK (burst >= 0),
    limits          TEXT NOT NULL,
    created_at      TIMESTAMP NOT NULL,
    updated_at      TIMESTAMP NOT NULL
);

CREATE TABLE tenancy_accounts (
    account_id     TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    status         TEXT NOT NULL,
    suspended_from TEXT NOT NULL DEFAULT '',
    plan           TEXT NOT NULL,
    owner_id       TEXT NOT NULL,
    zone           TEXT NOT NULL,
    trial_ends_at  TIMESTAMP,
    grace_ends_at  TIMESTAMP,
    paid_until     TIMESTAMP,
    created_at     TIMESTAMP NOT NULL,
    updated_at     TIMESTAMP NOT NULL
);

-- A person, who may belong to several accounts or to none: found by e-mail address
-- from outside any account.
CREATE TABLE tenancy_users (
    user_id    TEXT PRIMARY KEY,
    email      TEXT,
    email_key  TEXT UNIQUE,
    name       TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE TABLE tenancy_members (
    account_id TEXT NOT NULL REFERENCES tenancy_accounts (account_id),
    user_id    TEXT NOT NULL REFERENCES tenancy_users (user_id),
    created_at TIMESTAMP NOT NULL,
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

CREATE TABLE tenancy_events (
    account_id TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    kind       TEXT NOT NULL,
    data       TEXT NOT NULL,
    at         TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, event_id)
) WITHOUT ROWID;

-- The events that are still to be delivered. due_at is the beginning of time until
-- a delivery fails.
CREATE TABLE tenancy_deliveries (
    account_id TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    attempts   BIGINT NOT NULL,
    due_at     TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, event_id)
);

CREATE INDEX tenancy_deliveries_due ON tenancy_deliveries (due_at, event_id);

CREATE TABLE tenancy_leases (
    name   TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until  TIMESTAMP NOT NULL
);

CREATE TABLE tenancy_audit (
    account_id TEXT NOT NULL,
    audit_id   TEXT NOT NULL,
    at         TIMESTAMP NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id   TEXT NOT NULL,
    action     TEXT NOT NULL,
    target     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    data       TEXT NOT NULL,
    PRIMARY KEY (account_id, audit_id)
) WITHOUT ROWID;

-- INSERT OR REPLACE deletes without a delete trigger, unless recursive_triggers is on.
CREATE TRIGGER tenancy_audit_no_replace BEFORE INSERT ON tenancy_audit
WHEN EXISTS (SELECT 1 FROM tenancy_audit WHERE account_id = NEW.account_id AND audit_id = NEW.audit_id)
BEGIN SELECT RAISE(ABORT, 'tenancy_audit is append-only'); END;

CREATE TRIGGER tenancy_audit_no_update BEFORE UPDATE ON tenancy_audit
BEGIN SELECT RAISE(ABORT, 'tenancy_audit is append-only'); END;

CREATE TRIGGER tenancy_audit_no_delete BEFORE DELETE ON tenancy_audit
BEGIN SELECT RAISE(ABORT, 'tenancy_audit is append-only'); END;

CREATE TRIGGER tenancy_events_no_replace BEFORE INSERT ON tenancy_events
WHEN EXISTS (SELECT 1 FROM tenancy_events WHERE account_id = NEW.account_id AND event_id = NEW.event_id)
BEGIN SELECT RAISE(ABORT, 'tenancy_events is append-only'); END;

CREATE TRIGGER tenancy_events_no_update BEFORE UPDATE ON tenancy_events
BEGIN SELECT RAISE(ABORT, 'tenancy_events is append-only'); END;
