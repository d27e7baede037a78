-- When somebody first showed that they read the mail of the user's address.
ALTER TABLE tenancy_users ADD COLUMN email_verified_at TIMESTAMP;
