package daemon

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestSweep_RemovesOnlyWhatNoServerUses(t *testing.T) {
	root := t.TempDir()
	folder := func(name, pid string) string {
		dir := filepath.Join(root, "quitrent-server-"+name)
		if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
			t.Fatal(err)
		}
		if pid != "" {
			if err := os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(pid+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	hour := time.Now().Add(-time.Hour)
	for _, tc := range []struct {
		dir  string
		old  bool
		stay bool
	}{
		{folder("served", strconv.Itoa(os.Getpid())), true, true},
		{folder("orphan", "2147483646"), true, false},
		{folder("ended", ""), true, false},
		{folder("new", ""), false, true}, // perhaps still being made
	} {
		if tc.old {
			if err := os.Chtimes(tc.dir, hour, hour); err != nil {
				t.Fatal(err)
			}
		}
		sweep(filepath.Join(root, "quitrent-server-*"), filepath.Join("data", "postmaster.pid"))
		if _, err := os.Stat(tc.dir); (err == nil) != tc.stay {
			t.Errorf("%s: stays %v, want %v", tc.dir, err == nil, tc.stay)
		}
	}
}
