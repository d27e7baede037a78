DROP INDEX tenancy_accounts_closed;

ALTER TABLE tenancy_plans DROP COLUMN flags;

ALTER TABLE tenancy_accounts DROP COLUMN flags;

ALTER TABLE tenancy_accounts DROP COLUMN limits;

ALTER TABLE tenancy_accounts DROP COLUMN purge_at;

ALTER TABLE tenancy_accounts DROP COLUMN closed_at;

ALTER TABLE tenancy_accounts DROP COLUMN closed_from;
