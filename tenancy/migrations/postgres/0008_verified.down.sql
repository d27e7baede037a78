ALTER TABLE tenancy_users DROP COLUMN email_verified_at;
