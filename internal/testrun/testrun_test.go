package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module is a small module with one file of tests a folder.
func module(t *testing.T, tests map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(name, text string) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example\n\ngo 1.26\n")
	for name, body := range tests {
		write(name+"/x.go", "package x\n")
		write(name+"/x_test.go", "package x\n\nimport (\"os\"; \"testing\")\n\nvar _ = os.Exit\n\n"+body)
	}
	return dir
}

func TestTest_CountsLeavesAndShowsFailuresInFull(t *testing.T) {
	dir := module(t, map[string]string{
		"good": `func TestA(t *testing.T) { t.Run("b", func(t *testing.T) {}); t.Run("c", func(t *testing.T) {}) }
func TestD(t *testing.T) {}`,
		"bad": `func TestA(t *testing.T) {
	t.Run("b", func(t *testing.T) { t.Log("first line"); t.Error("second line") })
	t.Run("c", func(t *testing.T) {})
}
func TestAfterwards(t *testing.T) { t.Run("fine", func(t *testing.T) {}); t.Error("the parent itself") }`,
		"skipping": `func TestA(t *testing.T) { t.Skip("no server") }`,
	})
	var out bytes.Buffer
	got := test(t.Context(), &out, dir, []string{"./..."})
	if want := (counts{passed: 3 + 2, failed: 2, skipped: 1}); got != want {
		t.Errorf("got %v, want %v, in\n%s", got, want, &out)
	}
	for _, want := range []string{"first line", "second line", "the parent itself", "skip example/skipping TestA: x_test.go:7: no server", "ok   example/good  3 passed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}

func TestTest_WhatEndsWithoutATestsWordFails(t *testing.T) {
	for name, tc := range map[string]struct{ body, want string }{
		"does not build": {`func TestA(t *testing.T) { var unused int }`, "declared and not used"},
		"vet":            {`func TestA(t *testing.T) { t.Logf("%d", "x") }`, "wrong type"},
		"panic":          {`func TestA(t *testing.T) { panic("boom") }`, "boom"},
		"exit":           {`func TestA(t *testing.T) { os.Exit(0) }`, "os.Exit(0)"},
		"TestMain":       {`func TestMain(m *testing.M) { m.Run(); println("my last word"); os.Exit(3) }; func TestA(t *testing.T) {}`, "my last word"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			got := test(t.Context(), &out, module(t, map[string]string{"x": tc.body}), []string{"./..."})
			if got.failed != 1 || got.exit(false) != 1 || !strings.Contains(out.String(), tc.want) {
				t.Errorf("got %v, want %q in\n%s", got, tc.want, &out)
			}
		})
	}
	var out bytes.Buffer
	if got := test(t.Context(), &out, t.TempDir(), []string{"./..."}); got.failed != 1 {
		t.Errorf("no module: %v\n%s", got, &out)
	}
}

func TestCounts_Exit(t *testing.T) {
	for _, tc := range []struct {
		counts
		ci   bool
		want int
	}{
		{counts{passed: 1}, true, 0},
		{counts{passed: 1, skipped: 1}, false, 0},
		{counts{passed: 1, skipped: 1}, true, 1},
		{counts{passed: 1, failed: 1}, false, 1},
		{counts{skipped: 1}, false, 1}, // no test ran
		{counts{}, false, 1},
	} {
		if got := tc.exit(tc.ci); got != tc.want {
			t.Errorf("%v in CI %v: exit %d, want %d", tc.counts, tc.ci, got, tc.want)
		}
	}
}

func TestNestedModules(t *testing.T) {
	dir := module(t, nil)
	for _, sub := range []string{"examples/a", ".cache/b", "x/testdata/c"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, sub, "go.mod"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := nestedModules(dir)
	if err != nil || len(got) != 1 || got[0] != filepath.Join(dir, "examples/a") {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestKeepStopped_LeavesTheMachinesOwnPolicyAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy-rc.d")
	var out bytes.Buffer
	undo := keepStopped(&out, path)
	if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("no executable policy: %v, %v", info, err)
	}
	undo()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the policy stayed: %v", err)
	}
	if err := os.WriteFile(path, []byte("the machine's"), 0o755); err != nil {
		t.Fatal(err)
	}
	keepStopped(&out, path)()
	if b, _ := os.ReadFile(path); string(b) != "the machine's" {
		t.Errorf("the machine's own policy became %q", b)
	}
}
