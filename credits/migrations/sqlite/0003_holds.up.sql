-- Credits that are set aside for work under way. parts is what the amount is made of, a
-- grant and its share a line; used is what of it was charged, settled what was charged
-- in all.
CREATE TABLE credits_holds (
    account_id TEXT NOT NULL,
    hold_id    TEXT NOT NULL,
    unit       TEXT NOT NULL,
    state      TEXT NOT NULL,
    amount     BIGINT NOT NULL CHECK (amount > 0),
    used       BIGINT NOT NULL CHECK (used >= 0),
    settled    BIGINT NOT NULL CHECK (settled >= used),
    parts      TEXT NOT NULL,
    at_end     TEXT NOT NULL,
    operation  TEXT NOT NULL,
    note       TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id   TEXT NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, hold_id),
    CHECK (used <= amount)
);

CREATE INDEX credits_holds_open ON credits_holds (account_id, unit, expires_at) WHERE state IN ('open', 'review');
