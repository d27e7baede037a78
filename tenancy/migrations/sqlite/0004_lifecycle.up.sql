ALTER TABLE tenancy_accounts ADD COLUMN closed_from TEXT NOT NULL DEFAULT '';

ALTER TABLE tenancy_accounts ADD COLUMN closed_at TIMESTAMP;

ALTER TABLE tenancy_accounts ADD COLUMN purge_at TIMESTAMP;

-- What this account has otherwise than its plan says.
ALTER TABLE tenancy_accounts ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';

ALTER TABLE tenancy_accounts ADD COLUMN flags TEXT NOT NULL DEFAULT '{}';

ALTER TABLE tenancy_plans ADD COLUMN flags TEXT NOT NULL DEFAULT '{}';

CREATE INDEX tenancy_accounts_closed ON tenancy_accounts (account_id) WHERE status = 'closed';
