DROP TABLE tenancy_invitation_tokens;

DROP TABLE tenancy_invitations;
