-- Rules by which an account is granted credits period by period. period counts them
-- from the anchor: it is the next one, and next_at is when it begins, or nothing where
-- none is to come. ends_at is when the newest one that came ends; no other begins
-- before. grant_id and rolled_id are what that one granted, and rolled over.
CREATE TABLE credits_allotments (
    account_id    TEXT NOT NULL,
    unit          TEXT NOT NULL,
    name          TEXT NOT NULL,
    amount        BIGINT NOT NULL CHECK (amount > 0),
    months        BIGINT NOT NULL CHECK (months >= 0),
    days          BIGINT NOT NULL CHECK (days >= 0),
    anchor        TIMESTAMP NOT NULL,
    zone          TEXT NOT NULL,
    category      TEXT NOT NULL,
    priority      BIGINT NOT NULL,
    operations    TEXT NOT NULL,
    roll_cap      BIGINT NOT NULL CHECK (roll_cap >= 0),
    roll_percent  BIGINT NOT NULL CHECK (roll_percent BETWEEN 0 AND 100),
    roll_periods  BIGINT NOT NULL CHECK (roll_periods >= 0),
    until_at      TIMESTAMP,
    period        BIGINT NOT NULL CHECK (period >= 0),
    next_at       TIMESTAMP,
    ends_at       TIMESTAMP,
    grant_id      TEXT NOT NULL,
    rolled_id     TEXT NOT NULL,
    created_at    TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, unit, name),
    CHECK (months + days > 0)
);

-- When the first of the account's allotments is due; nothing where it has none, so that
-- they are looked for only where they are. next_at is not after it.
ALTER TABLE credits_accounts ADD COLUMN renews_at TIMESTAMP;
