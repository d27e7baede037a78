ALTER TABLE billing_accounts ADD COLUMN payment_method TEXT NOT NULL DEFAULT '';

ALTER TABLE billing_subscriptions ADD COLUMN payment_method TEXT NOT NULL DEFAULT '';

ALTER TABLE billing_subscriptions ADD COLUMN external_payment_id TEXT NOT NULL DEFAULT '';
