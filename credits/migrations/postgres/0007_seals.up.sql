-- The chain over an account's ledger: one row for each entry that is sealed. Package
-- seals writes it; it stays empty where that is not used.
CREATE TABLE credits_seals (
    account_id TEXT NOT NULL,
    unit       TEXT NOT NULL,
    number     BIGINT NOT NULL,
    hash       TEXT NOT NULL,
    PRIMARY KEY (account_id, unit, number)
);
