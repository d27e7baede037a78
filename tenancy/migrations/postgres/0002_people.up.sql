-- Roles on one object instead of on the whole account. What goes with a member goes
-- by cascade too: a program of the version before removes members and knows nothing
-- of these tables.
CREATE TABLE tenancy_object_roles (
    account_id  TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object_id   TEXT NOT NULL,
    role        TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account_id, user_id, object_kind, object_id, role),
    FOREIGN KEY (account_id, user_id) REFERENCES tenancy_members (account_id, user_id) ON DELETE CASCADE
);

CREATE INDEX tenancy_object_roles_object ON tenancy_object_roles (account_id, object_kind, object_id);

-- The one open offer of an account's ownership: from whoever was the owner then.
CREATE TABLE tenancy_ownership_offers (
    account_id TEXT NOT NULL PRIMARY KEY,
    owner_id   TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    FOREIGN KEY (account_id, user_id) REFERENCES tenancy_members (account_id, user_id) ON DELETE CASCADE
);
