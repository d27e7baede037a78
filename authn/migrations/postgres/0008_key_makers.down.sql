UPDATE authn_keys SET maker_id = '' WHERE maker_id = created_by_id;
