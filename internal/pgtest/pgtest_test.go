package pgtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestStart_ServesAtOnceAndStopLeavesNothing(t *testing.T) {
	for fsync, start := range map[string]func(context.Context) (string, func(), error){"off": Start, "on": StartDurable} {
		t.Run("fsync "+fsync, func(t *testing.T) {
			dsn, stop, err := start(t.Context())
			if errors.Is(err, ErrNoBinaries) && os.Getenv("CI") == "" {
				t.Skipf("PostgreSQL is not tested: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			conn, err := pgx.Connect(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			var is, data string
			if err := conn.QueryRow(t.Context(), "SELECT current_setting('fsync'), current_setting('data_directory')").Scan(&is, &data); err != nil || is != fsync {
				t.Errorf("fsync is %q, %v", is, err)
			}
			_ = conn.Close(t.Context())
			if _, err := os.Stat(data); err != nil {
				t.Error(err)
			}
			stop()
			if _, err := os.Stat(filepath.Dir(data)); !os.IsNotExist(err) {
				t.Errorf("%s is left behind: %v", filepath.Dir(data), err)
			}
			if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
				_ = conn.Close(t.Context())
				t.Error("the server still answers")
			}
		})
	}
}
