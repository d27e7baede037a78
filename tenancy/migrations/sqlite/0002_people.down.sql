DROP TABLE tenancy_ownership_offers;

DROP TABLE tenancy_object_roles;
