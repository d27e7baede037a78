package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// compact reports that value may be the compact form of a JWS: three parts in the
// letters of base64url and no other. encoding/base64 skips the ends of lines, which
// would make many texts of one token.
func compact(value string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
	return len(value) <= MaxToken && strings.Count(value, ".") == 2 && strings.Trim(value, letters) == ""
}

// envelope is the JWS compact form (RFC 7515, section 7.1) of somebody else's token,
// whose signature has not been verified.
type envelope struct {
	Type      string
	Algorithm string
	KeyID     string
	Issuer    string
	// odd: it needs what we do not do.
	odd bool
}

// open reads the compact form. ok is false for what is none.
func open(value string) (e envelope, ok bool) {
	if !compact(value) {
		return e, false
	}
	parts := strings.Split(value, ".")
	head, err := object(parts[0])
	if err != nil {
		return e, false
	}
	said, err := object(parts[1])
	if err != nil {
		return e, false
	}
	if _, ok := octets(parts[2]); !ok {
		return e, false
	}
	// Whatever crit says must be understood, and nothing it may say is: RFC 7515,
	// section 4.1.11. A token that names a key in cnf is good only with a proof of
	// having that key (RFC 7800), which no bearer shows.
	_, critical := head["crit"]
	_, bound := said["cnf"]
	e.odd = critical || bound
	for into, raw := range map[*string]json.RawMessage{
		&e.Type: head["typ"], &e.Algorithm: head["alg"], &e.KeyID: head["kid"], &e.Issuer: said["iss"],
	} {
		if raw != nil && json.Unmarshal(raw, into) != nil {
			return e, false
		}
	}
	return e, true
}

// object reads a part that is one JSON object. One name said twice, be it in other
// letters, is refused: which of them counts would depend on the reader (RFC 7519,
// section 4).
func object(part string) (map[string]json.RawMessage, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, err
	}
	if err := unambiguous(json.NewDecoder(bytes.NewReader(data))); err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	err = json.Unmarshal(data, &members)
	if err == nil && members == nil {
		err = errors.New("null is no object")
	}
	return members, err
}

// maxDepth bounds how deep objects and arrays may lie in one another.
const maxDepth = 16

var errAmbiguous = errors.New("a name is said twice, or it is too deep")

// unambiguous reads one value to the end of the text.
func unambiguous(d *json.Decoder) error {
	d.UseNumber()
	type level struct {
		names map[string]bool // nil: an array
		value bool            // what comes next in an object is a value
	}
	var levels []level
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if end, ok := token.(json.Delim); ok && (end == '}' || end == ']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if n := len(levels); n > 0 && levels[n-1].names != nil {
			top := &levels[n-1]
			if !top.value {
				name := strings.ToLower(token.(string))
				if top.names[name] {
					return errAmbiguous
				}
				top.names[name], top.value = true, true
				continue
			}
			top.value = false
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{names: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		}
		if len(levels) > maxDepth {
			return errAmbiguous
		}
	}
}
