package bouncertest

import (
	"errors"
	"net"
	"net/url"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/quitrent/quitrent/internal/pgtest"
)

func postgres(t *testing.T) (url string) {
	t.Helper()
	if url := os.Getenv("QUITRENT_TEST_POSTGRES"); url != "" {
		return url
	}
	url, stop, err := pgtest.Start(t.Context())
	if errors.Is(err, pgtest.ErrNoBinaries) && os.Getenv("CI") == "" {
		t.Skipf("PgBouncer is not tested: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return url
}

func TestStart_ServesAtOnceAndStopLeavesNothing(t *testing.T) {
	at := postgres(t)
	tmp, err := os.MkdirTemp("", "quitrent-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	if err := os.Chmod(tmp, 0o755); err != nil { // as root, the pooler is somebody else
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", tmp)
	folders := func() int {
		entries, err := os.ReadDir(tmp)
		if err != nil {
			t.Error(err)
		}
		return len(entries)
	}

	addr, stop, err := Start(t.Context(), at)
	if errors.Is(err, ErrNoBinary) && os.Getenv("CI") == "" {
		t.Skipf("PgBouncer is not tested: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if n := folders(); n != 1 {
		t.Errorf("%d folders in %s while it runs", n, tmp)
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = addr
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(t.Context())
	stop()
	if n := folders(); n != 0 {
		t.Errorf("%d folders are left behind in %s", n, tmp)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Error("the pooler still listens")
	}
}
