DROP TABLE tenancy_audit;

DROP TABLE tenancy_leases;

DROP TABLE tenancy_deliveries;

DROP TABLE tenancy_events;

DROP TABLE tenancy_member_roles;

DROP TABLE tenancy_members;

DROP TABLE tenancy_users;

DROP TABLE tenancy_accounts;

DROP TABLE tenancy_plans;
