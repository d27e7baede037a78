ALTER TABLE billing_subscriptions DROP COLUMN external_payment_id;

ALTER TABLE billing_subscriptions DROP COLUMN payment_method;

ALTER TABLE billing_accounts DROP COLUMN payment_method;
