-- What an operation costs, from when on: for everybody ('') or for one account.
CREATE TABLE credits_prices (
    account_id   TEXT NOT NULL,
    operation    TEXT NOT NULL,
    version      BIGINT NOT NULL CHECK (version > 0),
    ended        BOOLEAN NOT NULL,
    fixed        BIGINT NOT NULL CHECK (fixed >= 0),
    minimum      BIGINT NOT NULL CHECK (minimum >= 0),
    rounding     TEXT NOT NULL,
    components   TEXT NOT NULL,
    effective_at TIMESTAMPTZ NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account_id, operation, version)
);

CREATE INDEX credits_prices_in_effect ON credits_prices (account_id, operation, effective_at, version);
