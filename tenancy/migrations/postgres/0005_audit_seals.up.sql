-- The chain over an account's audit log: one row for each line that is sealed, in the
-- order of sealing. Package seals writes it; it stays empty where that is not used.
CREATE TABLE tenancy_audit_seals (
    account_id TEXT NOT NULL,
    number     BIGINT NOT NULL,
    audit_id   TEXT COLLATE "C" NOT NULL,
    hash       TEXT NOT NULL,
    PRIMARY KEY (account_id, number),
    UNIQUE (account_id, audit_id)
);
