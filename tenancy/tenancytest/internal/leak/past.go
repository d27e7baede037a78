package leak

import (
	"strings"
)

// pastAttacks go past the guard, as SQL on the *sql.DB does or a function in the
// database: row-level security has to hold.
var pastAttacks = []attack{
	{verb: "row-level security: a read past the guard", kind: reads, on: isSecured, do: func(s *shot) error {
		var n int64
		err := s.plain.NewRaw("SELECT COUNT(*) FROM ?", s.schema.SQLName).Conn(s.idb).Scan(s.ctx, &n)
		return counted(n, err, s.all())
	}},
	{verb: "row-level security: an update past the guard", kind: writes, on: func(s *shot) bool { return isSecured(s) && changeable(s) }, do: func(s *shot) error {
		column, value := s.schema.Fields[len(s.schema.Fields)-1].SQLName, s.schema.Fields[len(s.schema.Fields)-1].SQLName
		res, err := s.plain.NewRaw("UPDATE ? SET ? = ?", s.schema.SQLName, column, value).Conn(s.idb).Exec(s.ctx)
		return affected(res, err, s.all())
	}},
	{verb: "row-level security: a delete past the guard", kind: writes, on: func(s *shot) bool { return isSecured(s) && s.deletable }, prepare: emptied, do: func(s *shot) error {
		res, err := s.plain.NewRaw("DELETE FROM ?", s.schema.SQLName).Conn(s.idb).Exec(s.ctx)
		return affected(res, err, s.all())
	}},
	{verb: "row-level security: an insert for the other past the guard", kind: reads, on: isSecured, do: func(s *shot) error {
		_, err := s.plain.NewInsert().Model(s.forged()).Conn(s.idb).Exec(s.ctx)
		if err == nil || !strings.Contains(err.Error(), "row-level security") {
			return holef("it was not refused by a policy: %v", err)
		}
		return nil
	}},
}

func isSecured(s *shot) bool { return s.secured }
