package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/quitrent/quitrent/credits"
)

// transcript reads what the printed lines print.
type transcript struct {
	t  *testing.T
	in *bufio.Reader
}

// line is the next line.
func (tr transcript) line() string {
	tr.t.Helper()
	line, err := tr.in.ReadString('\n')
	if err != nil {
		tr.t.Fatalf("the transcript ends with %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// response is the next answer with its headers, of curl -i.
func (tr transcript) response() answer {
	tr.t.Helper()
	resp, err := http.ReadResponse(tr.in, nil)
	if err != nil {
		tr.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		tr.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// counts reads the lines of uniq -c: how often each status came.
func (tr transcript) counts() map[string]int64 {
	tr.t.Helper()
	counts := map[string]int64{}
	for {
		next, err := tr.in.Peek(1)
		if err != nil || next[0] != ' ' { // uniq pads its counts
			return counts
		}
		f := strings.Fields(tr.line())
		n, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil || len(f) != 2 {
			tr.t.Fatalf("no count: %q", f)
		}
		counts[f[1]] = n
	}
}

func parse[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

func TestM16_ThePrintedLinesWorkWhenPastedInOrder(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "sed", "seq", "xargs"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skipf("the printed lines are not tested: %v", err)
		}
	}
	s := start(t, newFile(t))
	script := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(script, []byte(s.lines), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-eu", "-o", "pipefail", script)
	var out, aside bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &aside
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &aside)
	}
	defer func() {
		if t.Failed() {
			t.Logf("\n%s\n%s", &out, &aside)
		}
	}()
	told := bufio.NewReader(&aside) // what tee shows beside the variables
	tr := transcript{t, bufio.NewReader(bytes.NewReader(out.Bytes()))}

	// 1
	made := parse[signedUp](t, transcript{t, told}.line())
	if made.Credits != 2000 || made.APIKey == "" || made.Account.Status != "trial" || made.Account.Plan != "free-trial" {
		t.Errorf("signed up: %+v", made)
	}

	// 2
	if a := tr.response(); a.status != 200 || a.header.Get("Credits-Cost") != "15" || a.header.Get("Credits-Remaining") != "1985" ||
		!strings.HasPrefix(a.header.Get("RateLimit"), `"account";r=`) || a.header.Get("RateLimit-Policy") != `"account";q=20;w=4` {
		t.Errorf("three ideas: %+v", a)
	}

	// 3
	counts := tr.counts()
	sold := counts["200"]
	if sold == 0 || counts["429"] == 0 || sold+counts["429"] != 60 {
		t.Errorf("the burst: %v", counts)
	}
	if status := tr.line(); status != "200" {
		t.Errorf("300 ideas: %s", status)
	}
	left := 2000 - 15 - 5*sold - 1500
	a := tr.response()
	a.want(t, "300 ideas too many", http.StatusPaymentRequired, "insufficient_credits")
	short := parse[struct {
		Needed int64  `json:"credits_needed"`
		Left   int64  `json:"credits_left"`
		Pay    string `json:"pay"`
	}](t, a.body)
	if short.Needed != 1500 || short.Left != left || !strings.Contains(short.Pay, "POST /v1/billing/transfers") {
		t.Errorf("out of credits: %+v, want %d left", short, left)
	}

	// 4
	if in := parse[signedIn](t, tr.line()); in.Session.Account != made.Account.ID || in.User.Email == "" || len(in.Accounts) != 1 {
		t.Errorf("signed in: %+v", in)
	}
	asked := parse[transfer](t, transcript{t, told}.line())
	if asked.Status != "requested" || asked.Pay.Amount != "89.00 USD" || asked.Pay.IBAN == "" || asked.Pay.Holder == "" {
		t.Errorf("asked for starter: %+v", asked)
	}
	tr.response().want(t, "a customer confirms", http.StatusForbidden, "forbidden")
	once, again := tr.line(), tr.line()
	paid := parse[transfer](t, once)
	if again != once || paid.Status != "confirmed" || paid.Reference != asked.Reference || paid.Credits != 1000 {
		t.Errorf("confirmed\n%s\n%s", once, again)
	}
	if now := parse[account](t, tr.line()); now.ID != made.Account.ID || now.Status != "active" || now.Plan != "starter" {
		t.Errorf("after the payment: %+v", now)
	}

	// 5
	type minted struct {
		ID     string `json:"id"`
		APIKey string `json:"api_key"`
		May    string `json:"may"`
	}
	turned := parse[minted](t, transcript{t, told}.line())
	if turned.ID != made.Key.ID || turned.APIKey == "" || turned.APIKey == made.APIKey {
		t.Errorf("rotated: %+v", turned)
	}
	left += 1000
	for _, which := range []string{"the old secret", "the new secret"} {
		if b := parse[credits.Balance](t, tr.line()); b.Spendable != left {
			t.Errorf("%s reads %v, want %d", which, b, left)
		}
	}

	// 6
	if reader := parse[minted](t, transcript{t, told}.line()); reader.May != "read" || reader.ID == made.Key.ID {
		t.Errorf("a key that reads: %+v", reader)
	}
	if b := parse[credits.Balance](t, tr.line()); b.Spendable != left {
		t.Errorf("it reads %v, want %d", b, left)
	}
	tr.response().want(t, "it spends", http.StatusForbidden, "forbidden")

	// 7
	token := parse[struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}](t, transcript{t, told}.line())
	if token.ExpiresIn > 60 || strings.Count(token.AccessToken, ".") != 2 {
		t.Errorf("a token: %+v", token)
	}
	if a := tr.response(); a.status != 200 || a.header.Get("Credits-Cost") != "5" {
		t.Errorf("an idea by token: %+v", a)
	}

	// 8
	if now := parse[account](t, tr.line()); now.Status != "suspended" {
		t.Errorf("after the suspension: %+v", now)
	}
	tr.response().want(t, "a suspended account's key", http.StatusForbidden, "account_suspended")
	if now := parse[account](t, tr.line()); now.Status != "active" {
		t.Errorf("after resuming: %+v", now)
	}
	if a := tr.response(); a.status != 200 || a.header.Get("Credits-Cost") != "5" {
		t.Errorf("an idea after resuming: %+v", a)
	}

	// 9
	left -= 5 + 5
	ledger := parse[page](t, tr.line())
	if len(ledger.Entries) != 5 || ledger.Entries[0].Amount != -5 || ledger.Entries[1].Amount != -5 || ledger.Entries[2].Number != paid.Entry || ledger.Entries[2].Amount != 1000 || ledger.Next == 0 {
		t.Errorf("the ledger: %+v", ledger)
	}
	if b := parse[credits.Balance](t, tr.line()); b.Spendable != left || b.Booked != left || b.Held != 0 {
		t.Errorf("the balance: %v, want %d", b, left)
	}

	// 10
	if exported := tr.line(); exported != "200 application/zip" {
		t.Errorf("the export: %s", exported)
	}
	if now := parse[account](t, tr.line()); now.Status != "closed" {
		t.Errorf("after closing: %+v", now)
	}
	tr.response().want(t, "a closed account's key", http.StatusNotFound, "no_account")
	if now := parse[account](t, tr.line()); now.Status != "active" || now.Plan != "starter" {
		t.Errorf("after restoring: %+v", now)
	}
	if status := tr.line(); status != "204" {
		t.Errorf("signed out: %s", status)
	}
	for _, rest := range []*bufio.Reader{tr.in, told} {
		if b, _ := io.ReadAll(rest); len(b) > 0 {
			t.Errorf("more was printed: %s", b)
		}
	}
}
