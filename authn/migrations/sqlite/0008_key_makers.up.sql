-- In a transaction of its own, since it writes every key: checks go on meanwhile.
UPDATE authn_keys SET maker_id = created_by_id WHERE maker_id = '' AND created_by_kind = 'user';
