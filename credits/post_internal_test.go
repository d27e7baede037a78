package credits

import (
	"context"
	"errors"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/dbtest"
)

// That an account has no row is a refusal; that somebody else has it locked is none.
func TestPosted_RefusesWhereThereIsNoAccountAndNotWhereItIsLocked(t *testing.T) {
	db := dbtest.Postgres(t, Migrate)
	l := funded(t, db, Config{}, accA)
	defer lockedElsewhere(t, db, accA)()
	for _, c := range []struct {
		request request
		want    error // without a row
	}{
		{request{account: accB, takes: 5}, ErrInsufficient},
		{request{account: accB, takes: 5, hold: "hld_1", none: ErrNoEntry}, ErrNoHold},
		{request{account: accB, none: ErrNoEntry}, ErrNoEntry},
	} {
		err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			outs, books, err := l.posted(ctx, tx, []request{c.request}, true)
			if err != nil || len(books) != 0 || !errors.Is(outs[0].refusal, c.want) {
				t.Errorf("%+v, %v", outs, err)
			}
			locked := c.request
			locked.account = accA
			outs, books, err = l.posted(ctx, tx, []request{locked}, false)
			if err != nil || len(books) != 0 || !errors.Is(outs[0].refusal, errLocked) {
				t.Errorf("%+v, %v", outs, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// A part that says nothing leaves a digest what it was before there was such a part; the
// usual unit is one.
func TestDigest_CountsWhatAnOptionalPartSays(t *testing.T) {
	content := func(more ...any) []any { return append([]any{KindDeduct, int64(5), "ideas"}, more...) }
	usual, gpu := New(Config{}), New(Config{Unit: "gpu_second"})
	for got, want := range map[string]string{
		usual.digest(content()):                                         hashOf(content()),
		usual.digest(content(), named{"a", ""}):                         hashOf(content()),
		usual.digest(content(), named{"a", "1"}):                        hashOf(content("a", "1")),
		usual.digest(content(), named{"a", ""}, named{"b", "2"}):        hashOf(content("b", "2")),
		gpu.digest(content()):                                           hashOf(content("unit", "gpu_second")),
		gpu.digest(content(), named{"a", "1"}):                          hashOf(content("a", "1", "unit", "gpu_second")),
		New(Config{Unit: defaultUnit}).digest(content(), named{"", ""}): hashOf(content()),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
