-- The accounts on a plan, and those in a status, in the order of their ids.
CREATE INDEX tenancy_accounts_plan ON tenancy_accounts (plan, account_id);

CREATE INDEX tenancy_accounts_status ON tenancy_accounts (status, account_id);
