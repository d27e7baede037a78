DROP TABLE tenancy_tombstones;

DROP TABLE tenancy_legal_holds;
