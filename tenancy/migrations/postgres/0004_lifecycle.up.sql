ALTER TABLE tenancy_accounts ADD COLUMN closed_from TEXT NOT NULL DEFAULT '';

ALTER TABLE tenancy_accounts ADD COLUMN closed_at TIMESTAMPTZ;

ALTER TABLE tenancy_accounts ADD COLUMN purge_at TIMESTAMPTZ;

-- What this account has otherwise than its plan says.
ALTER TABLE tenancy_accounts ADD COLUMN limits JSON NOT NULL DEFAULT '{}';

ALTER TABLE tenancy_accounts ADD COLUMN flags JSON NOT NULL DEFAULT '{}';

ALTER TABLE tenancy_plans ADD COLUMN flags JSON NOT NULL DEFAULT '{}';

CREATE INDEX tenancy_accounts_closed ON tenancy_accounts (account_id) WHERE status = 'closed';
