package seals

import (
	"strconv"

	"github.com/quitrent/quitrent/internal/chain"
	"github.com/quitrent/quitrent/tenancy"
)

// version begins every sealed text. Another form of it would have another.
const version = "quitrent.audit.seal.1"

// Hash is the seal of a line: the SHA-256, in lower-case hexadecimal, of the text that
// the package comment describes. previous is the hash of the seal before it, "" for
// the first; number is the seal's own, from 1. Whoever has the log and the seals
// recomputes the chain with it, in another program too.
func Hash(previous string, number int64, line tenancy.Audit) string {
	return canonical(previous, number, line).Hash()
}

// canonical is one text for one line in one place.
func canonical(previous string, number int64, line tenancy.Audit) chain.Text {
	return chain.Text(nil).Add(
		version, previous, strconv.FormatInt(number, 10),
		string(line.Account), line.ID, strconv.FormatInt(line.At.UnixMicro(), 10), string(line.Kind), line.Actor.ID,
		line.Action, line.Target, line.Reason, string(line.Data),
	)
}
