-- Why an account may not be erased yet: one row for each reason, for as long as
-- lifted_at is missing.
CREATE TABLE tenancy_legal_holds (
    account_id     TEXT NOT NULL REFERENCES tenancy_accounts (account_id),
    hold_id        TEXT COLLATE "C" NOT NULL,
    reason         TEXT NOT NULL,
    placed_at      TIMESTAMPTZ NOT NULL,
    placed_by_kind TEXT NOT NULL,
    placed_by_id   TEXT NOT NULL,
    lifted_at      TIMESTAMPTZ,
    PRIMARY KEY (account_id, hold_id)
);

-- What was erased, so that it can be erased again in a database restored from an
-- older backup. It holds ids, never personal data.
CREATE TABLE tenancy_tombstones (
    account_id TEXT PRIMARY KEY,
    erased_at  TIMESTAMPTZ NOT NULL,
    persons    JSON NOT NULL
);
