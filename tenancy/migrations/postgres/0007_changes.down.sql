DROP TABLE tenancy_changes;
