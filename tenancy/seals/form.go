package seals

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/quitrent/quitrent/tenancy"
)

// version begins every sealed text. Another form of it would have another.
const version = "quitrent.audit.seal.1"

// Hash is the seal of a line: the SHA-256, in lower-case hexadecimal, of the text that
// the package comment describes. previous is the hash of the seal before it, "" for
// the first; number is the seal's own, from 1. Whoever has the log and the seals
// recomputes the chain with it, in another program too.
func Hash(previous string, number int64, line tenancy.Audit) string {
	sum := sha256.Sum256(canonical(previous, number, line))
	return hex.EncodeToString(sum[:])
}

// canonical is one text for one line in one place: every part with its length before
// it, so that no text of one part can be read as the end of it.
func canonical(previous string, number int64, line tenancy.Audit) []byte {
	var b []byte
	for _, part := range []string{
		version, previous, strconv.FormatInt(number, 10),
		string(line.Account), line.ID, strconv.FormatInt(line.At.UnixMicro(), 10), string(line.Kind), line.Actor.ID,
		line.Action, line.Target, line.Reason, string(line.Data),
	} {
		b = strconv.AppendInt(b, int64(len(part)), 10)
		b = append(b, ':')
		b = append(b, part...)
		b = append(b, ',')
	}
	return b
}
