-- An invitation is open until it is accepted or revoked, or its time is over.
CREATE TABLE tenancy_invitations (
    account_id    TEXT NOT NULL REFERENCES tenancy_accounts (account_id),
    invitation_id TEXT COLLATE "C" NOT NULL,
    email         TEXT NOT NULL,
    email_key     TEXT NOT NULL,
    roles         JSON NOT NULL,
    objects       JSON NOT NULL,
    inviter_kind  TEXT NOT NULL,
    inviter_id    TEXT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    expires_at    TIMESTAMPTZ NOT NULL,
    accepted_at   TIMESTAMPTZ,
    accepted_by   TEXT,
    revoked_at    TIMESTAMPTZ,
    PRIMARY KEY (account_id, invitation_id)
);

CREATE UNIQUE INDEX tenancy_invitations_open ON tenancy_invitations (account_id, email_key)
WHERE accepted_at IS NULL AND revoked_at IS NULL;

-- Finds an invitation, and its account, from outside any account.
CREATE TABLE tenancy_invitation_tokens (
    token_hash    TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL,
    invitation_id TEXT COLLATE "C" NOT NULL,
    FOREIGN KEY (account_id, invitation_id) REFERENCES tenancy_invitations (account_id, invitation_id)
);

CREATE INDEX tenancy_invitation_tokens_of ON tenancy_invitation_tokens (account_id, invitation_id);
