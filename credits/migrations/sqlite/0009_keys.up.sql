-- Each unit of an account is a ledger of its own, with keys of its own: what is under way
-- in one neither holds up the other nor answers for it.
DROP INDEX credits_entries_keys;

CREATE UNIQUE INDEX credits_entries_keys ON credits_entries (account_id, unit, key) WHERE key <> '';

CREATE TABLE credits_keys_before AS SELECT * FROM credits_keys;

DROP TABLE credits_keys;

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
    hold_id    TEXT NOT NULL DEFAULT '',
    detail     TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (account_id, unit, key)
);

INSERT INTO credits_keys (account_id, key, hash, unit, outcome, number, need, have, replays, created_at, hold_id, detail)
SELECT account_id, key, hash, unit, outcome, number, need, have, replays, created_at, hold_id, detail FROM credits_keys_before;

DROP TABLE credits_keys_before;
