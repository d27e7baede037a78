package owned

import "strings"

// keywords are the words that say what may stand next in a statement.
var keywords = func() map[string]string {
	m := map[string]string{}
	for kw := range strings.FieldsSeq(`select insert update delete values with recursive explain
		from join into using table only as lateral or left right inner outer full cross natural
		ignore replace abort rollback fail begin commit savepoint release start end
		where set on group order having limit offset returning window fetch for union except intersect
		do default`) {
		m[kw] = kw
	}
	return m
}()

// keyword is w in lower case if it is one of keywords, and "" otherwise.
func keyword(w string) string {
	if len(w) < 2 || len(w) > 9 {
		return ""
	}
	if kw, ok := keywords[w]; ok {
		return kw
	}
	var low [9]byte
	for i := range len(w) {
		c := w[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[i] = c
	}
	return keywords[string(low[:len(w)])]
}

func isKeyword(w string) bool { return keyword(w) != "" }

// usual reports that a statement which begins with kw names tables only where
// run looks for them.
func usual(kw string) bool {
	switch kw {
	case "select", "insert", "update", "delete", "values", "with",
		"begin", "commit", "rollback", "savepoint", "release", "start", "end":
		return true
	}
	return false
}
