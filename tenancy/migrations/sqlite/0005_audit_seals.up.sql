-- The chain over an account's audit log: one row for each line that is sealed, in the
-- order of sealing. Package seals writes it; it stays empty where that is not used.
CREATE TABLE tenancy_audit_seals (
    account_id TEXT NOT NULL,
    number     BIGINT NOT NULL,
    audit_id   TEXT NOT NULL,
    hash       TEXT NOT NULL,
    PRIMARY KEY (account_id, number),
    UNIQUE (account_id, audit_id)
) WITHOUT ROWID;

CREATE TRIGGER tenancy_audit_seals_no_replace BEFORE INSERT ON tenancy_audit_seals
WHEN EXISTS (SELECT 1 FROM tenancy_audit_seals WHERE account_id = NEW.account_id AND (number = NEW.number OR audit_id = NEW.audit_id))
BEGIN SELECT RAISE(ABORT, 'tenancy_audit_seals is append-only'); END;

CREATE TRIGGER tenancy_audit_seals_no_update BEFORE UPDATE ON tenancy_audit_seals
BEGIN SELECT RAISE(ABORT, 'tenancy_audit_seals is append-only'); END;

CREATE TRIGGER tenancy_audit_seals_no_delete BEFORE DELETE ON tenancy_audit_seals
BEGIN SELECT RAISE(ABORT, 'tenancy_audit_seals is append-only'); END;
