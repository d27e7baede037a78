package owned

import "strings"

// kind is what sort of token the guard looks at.
type kind uint8

const (
	end    kind = iota
	word        // an identifier or a keyword without quotes
	quoted      // an identifier in quotes: never a keyword
	text        // a string literal; the token's text is what stands between the quotes
	body        // the inside of $$…$$: code, perhaps
	other       // one byte of anything else
	opaque      // what can't be read: Unicode escapes, a string in escapes that goes on
)

type token struct {
	kind kind
	text string
	at   int // where the token begins
}

// lexer cuts a statement into tokens as PostgreSQL or SQLite does. It has to agree
// with them on where a literal, a quoted identifier or a comment ends, since what
// stands in there names no table; everything else it may read coarsely.
type lexer struct {
	sql      string
	pos      int
	postgres bool

	comments bool // a comment was read
	unclosed bool // a quote or a comment was not closed
}

func (l *lexer) next() token {
	for l.pos < len(l.sql) {
		at, c := l.pos, l.sql[l.pos]
		switch {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' || c == '\v':
			l.pos++
		case c == '-' && l.peek(1) == '-':
			l.lineComment()
		case c == '/' && l.peek(1) == '*':
			l.comment()
		case wordStart(c):
			return l.word(at)
		case c == '\'':
			return token{text, l.quote('\'', false), at}
		case c == '"':
			return token{quoted, l.quote('"', false), at}
		case c == '`' && !l.postgres:
			return token{quoted, l.quote('`', false), at}
		case c == '[' && !l.postgres:
			l.skipTo("]", 1)
			return token{quoted, strings.TrimSuffix(l.sql[at+1:l.pos], "]"), at}
		case c == '$' && l.postgres:
			if tag := l.dollarTag(); tag != "" {
				l.skipTo(tag, len(tag))
				return token{body, strings.TrimSuffix(l.sql[at+len(tag):l.pos], tag), at}
			}
			l.pos++
		default:
			l.pos++
			return token{other, l.sql[at:l.pos], at}
		}
	}
	return token{kind: end, at: len(l.sql)}
}

func wordStart(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}

func (l *lexer) peek(n int) byte {
	if l.pos+n < len(l.sql) {
		return l.sql[l.pos+n]
	}
	return 0
}

func (l *lexer) word(at int) token {
	for l.pos++; l.pos < len(l.sql); l.pos++ {
		if c := l.sql[l.pos]; !wordStart(c) && !('0' <= c && c <= '9') && c != '$' {
			break
		}
	}
	w := l.sql[at:l.pos]
	if !l.postgres || len(w) != 1 {
		return token{word, w, at}
	}
	switch next := l.peek(0); {
	case (w == "e" || w == "E") && next == '\'':
		s := l.quote('\'', true)
		if rest := *l; rest.next().kind == text { // on the next line, and in escapes too
			return token{opaque, s, at}
		}
		return token{text, s, at}
	case (w == "u" || w == "U") && next == '&' && (l.peek(1) == '"' || l.peek(1) == '\''):
		l.pos++
		l.quote(l.sql[l.pos], false)
		return token{opaque, l.sql[at:l.pos], at}
	}
	return token{word, w, at}
}

// quote reads to the closing quote, which is written twice where it is meant itself.
func (l *lexer) quote(q byte, backslash bool) string {
	from := l.pos + 1
	for l.pos = from; l.pos < len(l.sql); l.pos++ {
		switch c := l.sql[l.pos]; {
		case c == '\\' && backslash:
			l.pos++
		case c == q && l.peek(1) == q:
			l.pos++
		case c == q:
			l.pos++
			return undouble(l.sql[from:l.pos-1], q)
		}
	}
	l.pos, l.unclosed = len(l.sql), true
	return undouble(l.sql[from:], q)
}

func undouble(s string, q byte) string {
	if strings.IndexByte(s, q) < 0 {
		return s
	}
	return strings.ReplaceAll(s, string([]byte{q, q}), string(q))
}

// skipTo goes behind the next stop after the n bytes that began the token.
func (l *lexer) skipTo(stop string, n int) {
	l.pos += n
	if i := strings.Index(l.sql[min(l.pos, len(l.sql)):], stop); i >= 0 {
		l.pos += i + len(stop)
		return
	}
	l.pos, l.unclosed = len(l.sql), true
}

// lineComment skips a comment that begins with "--". PostgreSQL ends it at a carriage
// return too.
func (l *lexer) lineComment() {
	l.comments = true
	stops := "\n"
	if l.postgres {
		stops = "\r\n"
	}
	if i := strings.IndexAny(l.sql[l.pos:], stops); i >= 0 {
		l.pos += i + 1
		return
	}
	l.pos, l.unclosed = len(l.sql), true
}

// comment skips a comment in /* */. PostgreSQL's may hold others.
func (l *lexer) comment() {
	l.comments = true
	if !l.postgres {
		l.skipTo("*/", 2)
		return
	}
	depth := 0
	for l.pos < len(l.sql) {
		switch {
		case l.sql[l.pos] == '/' && l.peek(1) == '*':
			depth++
			l.pos += 2
		case l.sql[l.pos] == '*' && l.peek(1) == '/':
			l.pos += 2
			if depth--; depth == 0 {
				return
			}
		default:
			l.pos++
		}
	}
	l.unclosed = true
}

// dollarTag is the "$tag$" that begins here, or "".
func (l *lexer) dollarTag() string {
	for i := l.pos + 1; i < len(l.sql); i++ {
		switch c := l.sql[i]; {
		case c == '$':
			return l.sql[l.pos : i+1]
		case wordStart(c), i > l.pos+1 && '0' <= c && c <= '9':
		default:
			return ""
		}
	}
	return ""
}
