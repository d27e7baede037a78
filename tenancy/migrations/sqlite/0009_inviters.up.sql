-- Somebody whose address was another's until now finds the invitations sent under it.
CREATE INDEX tenancy_invitations_inviter ON tenancy_invitations (inviter_id, account_id)
WHERE accepted_at IS NULL AND revoked_at IS NULL;
