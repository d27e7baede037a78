package main

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/examples/adapters/internal/adaptertest"
	"github.com/quitrent/quitrent/tenancy"
)

func TestM6_ACredentialOpensItsAccountAsFarAsThatMayGo(t *testing.T) {
	adaptertest.M6(t, server, adaptertest.HTTP)
}

// Fiber writes its next request over the strings of the one before.
func TestHeader_IsTheAdaptersOwn(t *testing.T) {
	a := adaptertest.Start(t, server)
	var seen keeper
	a.Guard = authn.NewGuard(a.Accounts, authn.GuardConfig{}, &seen, a.Keys)
	_, first := a.Join(t, "first", tenancy.DefaultTrialPlan)
	_, second := a.Join(t, "second", tenancy.DefaultTrialPlan)
	var want []string
	for range 3 {
		for _, key := range []http.Header{first, second} {
			if got := adaptertest.HTTP(t, a.Addr, key); got.Body == "" {
				t.Fatalf("%+v", got)
			}
			want = append(want, strings.TrimPrefix(key.Get("Authorization"), "Bearer "))
		}
	}
	if got := strings.Join(seen.values, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("what was kept of the credentials has become\n%s", got)
	}
}

// keeper remembers the credentials that it is asked about.
type keeper struct{ values []string }

func (k *keeper) Authenticate(_ context.Context, _ bun.IDB, c authn.Credential) (authn.Principal, error) {
	k.values = append(k.values, c.Value)
	return authn.Principal{}, authn.ErrNoCredential
}

func TestRefuse_LeavesFibersOwnErrorsToIt(t *testing.T) {
	a := adaptertest.Start(t, server)
	_, key := a.Join(t, "ada", tenancy.DefaultTrialPlan)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.Addr+"/nowhere", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = key
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusNotFound || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}
