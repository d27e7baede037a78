DROP TABLE tenancy_audit_seals;
