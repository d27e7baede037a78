// Package migrate applies one package's embedded SQL, in order, each file in a
// transaction of its own, under a lock that dies with its holder.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/quitrent/quitrent/internal/tx"
)

// Set is the migrations of one package: files named
// migrations/<postgres|sqlite>/0001_name.up.sql and 0001_name.down.sql.
//
// Statements in a file are divided by a semicolon at the end of a line and an
// empty line after it.
type Set struct {
	// Package is the name under which applied versions are recorded.
	Package string
	// Files holds the folder "migrations".
	Files fs.FS
}

// step is one version of a package's schema.
type step struct {
	version  int
	name     string // 0001_name
	up, down string
}

// applied is a row of the record of what has been applied.
type applied struct {
	bun.BaseModel `bun:"table:quitrent_migrations"`

	Package   string    `bun:"package,pk"`
	Version   int       `bun:"version,pk"`
	Name      string    `bun:"name"`
	AppliedAt time.Time `bun:"applied_at"`
}

// Up applies every version that is not applied yet. A version applies whole or
// not at all. Any number of processes may call it at once.
func (s Set) Up(ctx context.Context, db *bun.DB) error {
	steps, err := s.steps(db)
	if err != nil {
		return err
	}
	if err := record(ctx, db); err != nil {
		return err
	}
	for _, st := range steps {
		err := s.locked(ctx, db, func(t bun.IDB, done map[int]bool) error {
			if done[st.version] {
				return nil
			}
			if err := run(ctx, t, st.up); err != nil {
				return err
			}
			row := &applied{Package: s.Package, Version: st.version, Name: st.name, AppliedAt: time.Now().UTC().Truncate(time.Microsecond)}
			_, err := t.NewInsert().Model(row).Exec(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: migration %s up: %w", s.Package, st.name, err)
		}
	}
	return nil
}

// ErrNewer says that the database holds versions that this program does not know.
var ErrNewer = errors.New("the database was migrated by a newer program: take its versions back with that one")

// Down takes back, newest first, every applied version above to. 0 takes back all.
// It returns ErrNewer, and takes nothing back, where it does not know the newest.
func (s Set) Down(ctx context.Context, db *bun.DB, to int) error {
	steps, err := s.steps(db)
	if err != nil {
		return err
	}
	if err := record(ctx, db); err != nil {
		return err
	}
	err = s.locked(ctx, db, func(_ bun.IDB, done map[int]bool) error {
		for version := range done {
			if version > len(steps) {
				return fmt.Errorf("%s: %w", s.Package, ErrNewer)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, st := range slices.Backward(steps) {
		if st.version <= to {
			break
		}
		err := s.locked(ctx, db, func(t bun.IDB, done map[int]bool) error {
			if !done[st.version] {
				return nil
			}
			if err := run(ctx, t, st.down); err != nil {
				return err
			}
			_, err := t.NewDelete().Model((*applied)(nil)).
				Where("package = ? AND version = ?", s.Package, st.version).Exec(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: migration %s down: %w", s.Package, st.name, err)
		}
	}
	return nil
}

// Status lists the names of the versions that are applied and of those that are
// not, each in order. It writes nothing.
func (s Set) Status(ctx context.Context, db *bun.DB) (done, pending []string, err error) {
	steps, err := s.steps(db)
	if err != nil {
		return nil, nil, err
	}
	have := map[int]bool{}
	if there, err := recorded(ctx, db); err != nil {
		return nil, nil, err
	} else if there {
		if have, err = s.versions(ctx, db); err != nil {
			return nil, nil, err
		}
	}
	for _, st := range steps {
		if have[st.version] {
			done = append(done, st.name)
		} else {
			pending = append(pending, st.name)
		}
	}
	return done, pending, nil
}

// locked runs fn in a transaction that first locks this package's row. The lock
// ends with the transaction, so a process that dies leaves nothing to clear.
func (s Set) locked(ctx context.Context, db *bun.DB, fn func(t bun.IDB, done map[int]bool) error) error {
	return tx.Join(ctx, db, func(t bun.IDB) error {
		if _, err := t.NewRaw(`INSERT INTO quitrent_migration_locks (package, taken) VALUES (?, 1)
			ON CONFLICT (package) DO UPDATE SET taken = quitrent_migration_locks.taken + 1`, s.Package).Exec(ctx); err != nil {
			return err
		}
		have, err := s.versions(ctx, t)
		if err != nil {
			return err
		}
		return fn(t, have)
	})
}

func (s Set) versions(ctx context.Context, db bun.IDB) (map[int]bool, error) {
	var vs []int
	err := db.NewSelect().Model((*applied)(nil)).Column("version").Where("package = ?", s.Package).Scan(ctx, &vs)
	if err != nil {
		return nil, err
	}
	have := make(map[int]bool, len(vs))
	for _, v := range vs {
		have[v] = true
	}
	return have, nil
}

func run(ctx context.Context, db bun.IDB, script string) error {
	for statement := range strings.SplitSeq(script, ";\n\n") {
		if statement = strings.TrimSpace(statement); statement == "" {
			continue
		}
		if _, err := db.NewRaw(statement).Exec(ctx); err != nil { // sqltext: a migration's own file
			return fmt.Errorf("%w, in:\n%s", err, statement)
		}
	}
	return nil
}

// folder is where the files of db's dialect lie.
func folder(db *bun.DB) (string, error) {
	switch db.Dialect().Name() {
	case dialect.PG:
		return "migrations/postgres", nil
	case dialect.SQLite:
		return "migrations/sqlite", nil
	default:
		return "", fmt.Errorf("no migrations for %s: PostgreSQL and SQLite are supported", db.Dialect().Name())
	}
}

func (s Set) steps(db *bun.DB) ([]step, error) {
	dir, err := folder(db)
	if err != nil {
		return nil, err
	}
	ups, err := fs.Glob(s.Files, path.Join(dir, "*.up.sql"))
	if err != nil {
		return nil, err
	}
	slices.Sort(ups)
	var steps []step
	for _, file := range ups {
		name := strings.TrimSuffix(path.Base(file), ".up.sql")
		number, _, ok := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if !ok || err != nil || version != len(steps)+1 {
			return nil, fmt.Errorf("%s: %s: want version %04d_name", s.Package, file, len(steps)+1)
		}
		up, err := fs.ReadFile(s.Files, file)
		if err != nil {
			return nil, err
		}
		down, err := fs.ReadFile(s.Files, path.Join(dir, name+".down.sql"))
		if err != nil {
			return nil, fmt.Errorf("%s: every migration has a way back: %w", s.Package, err)
		}
		steps = append(steps, step{version: version, name: name, up: string(up), down: string(down)})
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("%s: no migrations in %s", s.Package, dir)
	}
	return steps, nil
}
