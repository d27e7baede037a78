package tenancytest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A host outside this module uses the kit, and its test fails when it forgets to
// register a model. After a change of our dependencies its go.mod wants
// "go mod tidy" like those of the examples.
func TestM11_AHostOutsideTheModuleFailsWhenItForgetsAModel(t *testing.T) {
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "go", append([]string{"test", "-count=1"}, args...)...)
		cmd.Dir = filepath.Join("testdata", "host")
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("."); err != nil {
		t.Fatalf("both models registered: %v\n%s", err, out)
	}
	out, err := run("-tags", "forgotten", ".")
	if err == nil {
		t.Fatalf("it passed without one of its models:\n%s", out)
	}
	for _, want := range []string{
		"--- FAIL: TestNoLeaks",
		"the model host.Memo (table memos) has the account's column account_id and is not registered",
		"name it in the Tables of owned.Config, {Model: (*Memo)(nil)}",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing says %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "host.Note") || strings.Contains(out, "table notes") {
		t.Errorf("it complains of the model that is registered:\n%s", out)
	}
}
