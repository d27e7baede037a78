-- What processes remember of accounts, people and plans counts until this says that
-- it changed. A row is written in the changing transaction, under the lock that the
-- transaction holds anyway. The version never goes back. A change is recent until
-- every process has had the time to read it.
CREATE TABLE tenancy_changes (
    subject TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    recent  BOOLEAN NOT NULL
);

CREATE INDEX tenancy_changes_recent ON tenancy_changes (subject, version) WHERE recent;
