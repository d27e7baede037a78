package adoption

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/internal/problem"
	"github.com/quitrent/quitrent/internal/tx"
	"github.com/quitrent/quitrent/tenancy"
)

// ErrRefused says that rows cannot be adopted as they are: Report.Refused names
// them all, and nothing was written.
var ErrRefused = problem.New(http.StatusUnprocessableEntity, "adoption_refused", "some rows cannot be adopted as they are: the report names them all, and nothing was written")

// Config says how the old system's words are read. The zero value reads the words of
// package tenancy and no others.
type Config struct {
	// Source names the old system. It goes into the ids that are made for rows
	// without one, so that customer 7 of two systems is two accounts.
	Source string
	// Statuses are the statuses by the old system's words, exactly as it writes them.
	// What is not in it is looked up among tenancy's own, closed and erased excepted.
	Statuses map[string]tenancy.Status
	// Plans are the slugs of plans by the old system's names. What is not in it is
	// taken for a slug.
	Plans map[string]string
	// Roles are the roles by the old system's names; none: the name gives no role
	// here. What is not in it is taken for a role of tenancy's.
	Roles map[string][]tenancy.Role
	// TrialsEndAt is when the trials end whose end nobody recorded. Zero: they do
	// not end.
	TrialsEndAt time.Time
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Adoption takes over the customers of a running system. It holds policy and no
// connection, and serves any number of goroutines.
type Adoption struct {
	accounts *tenancy.Accounts
	cfg      Config
}

// New makes an Adoption from cfg, which is wrong when it gives something that an
// account or a member cannot be.
func New(accounts *tenancy.Accounts, cfg Config) (*Adoption, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	for _, word := range slices.Sorted(maps.Keys(cfg.Statuses)) {
		if s := cfg.Statuses[word]; !adoptable(s) {
			return nil, fmt.Errorf("adoption: Config.Statuses: %q is %q, as which no account can be adopted", word, s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Roles)) {
		for _, r := range cfg.Roles[name] {
			if !accounts.HasRole(r) {
				return nil, fmt.Errorf("adoption: Config.Roles: %q is %q, which is no role", name, r)
			}
		}
	}
	if !cfg.TrialsEndAt.IsZero() && !inRange(cfg.TrialsEndAt) {
		return nil, errors.New("adoption: Config.TrialsEndAt is not within the years 1 and 9999")
	}
	return &Adoption{accounts: accounts, cfg: cfg}, nil
}

// adoptable reports that an account can be adopted in a status. One that is closed or
// erased is over: it would have no day on which it goes for good.
func adoptable(s tenancy.Status) bool {
	return s == tenancy.StatusSuspended || tenancy.CanMove(s, tenancy.StatusSuspended)
}

// Adopt is what to take over: all of it at once, since accounts, users and members
// refer to each other.
type Adopt struct {
	Accounts []Account
	Users    []User
	Members  []Member
	// DryRun reads, checks and reports, and writes nothing.
	DryRun bool
	Actor  tenancy.Actor
	// Reason is the actor's own words, for the audit log.
	Reason string
}

// attempts is how often an adoption starts again because somebody signed up with an
// address that it had found free.
const attempts = 3

// Adopt takes over what the new system has not got yet, in one transaction: all of it
// or nothing. Everything is checked first, and the report names everything that is
// wrong. What is there already is counted and left alone, so that Adopt may run as
// often as one likes, and in two processes at once. Only a new account gets members:
// whoever was removed from an adopted one does not come back.
//
// No hook of tenancy.Config.OnRegister runs and no event is published. Each account
// gets a line "tenancy.adopt" in its audit log, and the installation's own log one
// with the counts.
//
// It returns tenancy.ErrInvalid when the actor is missing or the reason too long, and
// ErrRefused, with the report, when Report.Refused is not empty; a dry run then
// returns nil. Both leave a joined transaction usable. When somebody signs up with an
// address that was free a moment ago, an adoption starts again by itself; in a joined
// transaction it returns tenancy.ErrAdoptTaken, which means: roll back, and run again.
func (a *Adoption) Adopt(ctx context.Context, db bun.IDB, what Adopt) (Report, error) {
	line := tenancy.Audit{Actor: what.Actor, Action: "tenancy.adopt", Reason: what.Reason}
	if err := line.Validate(); err != nil {
		return Report{}, err
	}
	if what.DryRun {
		s, err := a.survey(ctx, db, what)
		if err != nil {
			return Report{}, err
		}
		return s.report, nil
	}
	for attempt := 1; ; attempt++ {
		var report Report
		err := tx.Join(ctx, db, func(db bun.IDB) error {
			var err error
			report, err = a.adopt(ctx, db, what, line)
			return err
		})
		switch {
		case errors.Is(err, tenancy.ErrAdoptTaken) && tx.Owns(db) && attempt < attempts:
		case err == nil, errors.Is(err, ErrRefused):
			return report, err
		default:
			return Report{}, err
		}
	}
}

func (a *Adoption) adopt(ctx context.Context, db bun.IDB, what Adopt, line tenancy.Audit) (Report, error) {
	// One adoption at a time: the row of a lease, which nobody holds, is the lock.
	now := a.now()
	_, err := db.NewRaw(`INSERT INTO tenancy_leases (name, holder, until) VALUES ('adoption', '', ?)
		ON CONFLICT (name) DO UPDATE SET until = excluded.until`, now).Exec(ctx)
	if err != nil {
		return Report{}, err
	}
	s, err := a.survey(ctx, db, what)
	if err != nil {
		return Report{}, err
	}
	if len(s.report.Refused) > 0 {
		return s.report, ErrRefused
	}
	if n := s.report.Accounts.New + s.report.Users.New; n == 0 {
		return s.report, nil
	}
	if err := a.accounts.Adopt(ctx, db, s.adopt); err != nil {
		return Report{}, err
	}
	line.At = now
	if line.Data, err = s.report.counts(); err != nil {
		return Report{}, err
	}
	return s.report, tenancy.Record(ctx, db, line)
}

func (a *Adoption) now() time.Time { return a.cfg.Now().UTC().Truncate(time.Microsecond) }
