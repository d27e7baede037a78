DROP INDEX tenancy_accounts_status;

DROP INDEX tenancy_accounts_plan;
