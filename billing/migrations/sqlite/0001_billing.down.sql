DROP TABLE billing_references;

DROP TABLE billing_transfers;

DROP TABLE billing_subscriptions;

DROP TABLE billing_accounts;
