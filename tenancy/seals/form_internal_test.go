package seals

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quitrent/quitrent/internal/chain"
	"github.com/quitrent/quitrent/tenancy"
)

// The text has every part in its place.
func FuzzCanonical(f *testing.F) {
	f.Add("", int64(1), "", "aud_1", int64(0), "user", "usr_1", "tenancy.suspend", "", "3:abc,", "{}")
	f.Add("00", int64(-9), "acc_1", ",", int64(-1), ":", "1:", "0:,", "\x00", "\xff", "")
	f.Fuzz(func(t *testing.T, previous string, number int64, account, id string, at int64, kind, actor, action, target, reason, data string) {
		line := tenancy.Audit{
			Account: tenancy.AccountID(account), ID: id, At: time.UnixMicro(at), Actor: tenancy.Actor{Kind: tenancy.ActorKind(kind), ID: actor},
			Action: action, Target: target, Reason: reason, Data: json.RawMessage(data),
		}
		want := chain.Text(nil).Add(
			"quitrent.audit.seal.1", previous, strconv.FormatInt(number, 10), account, id, strconv.FormatInt(at, 10), kind, actor, action, target, reason, data,
		)
		if d := cmp.Diff(want, canonical(previous, number, line)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// The hash was made by another program from the text in the package comment. Should
// it change, every chain in the world is broken.
func TestHash_IsTheDocumentedOne(t *testing.T) {
	line := tenancy.Audit{
		Account: "acc_1", ID: "aud_1", At: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), Actor: tenancy.Actor{Kind: tenancy.ActorOperator, ID: "op_1"},
		Action: "tenancy.suspend", Reason: "fraud", Data: json.RawMessage("{}"),
	}
	const text = "21:quitrent.audit.seal.1,0:,1:1,5:acc_1,5:aud_1,16:1772355600000000,8:operator,4:op_1,15:tenancy.suspend,0:,5:fraud,2:{},"
	if got := string(canonical("", 1, line)); got != text {
		t.Errorf("text\n%s, want\n%s", got, text)
	}
	if got := Hash("", 1, line); got != "067df505219f2152a19a6cd65d534c0c34e119c6a38a6cac2c89e158fa9948a5" {
		t.Errorf("hash %s", got)
	}
	if Hash("00", 1, line) == Hash("", 1, line) || Hash("", 2, line) == Hash("", 1, line) {
		t.Error("the place in the chain is not sealed")
	}
}
