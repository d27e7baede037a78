package authn_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quitrent/quitrent/authn"
)

func networks(texts ...string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

var byText = cmp.Comparer(func(a, b netip.Prefix) bool { return a.String() == b.String() })

// M12: a key that is bound to addresses opens nothing from another, also where it is
// remembered from one that is right.
func TestM12_AKeyIsBoundToItsAddresses(t *testing.T) {
	modes(t, func(t *testing.T, h *house, read func()) {
		ada := h.register(t, "ada@example.com")
		key := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(ada), Addresses: networks("192.0.2.0/24", "2001:db8::/32", "::ffff:198.51.100.0/120")})
		free := h.issue(t, ada)
		stored, err := h.keys.Get(t.Context(), h.db, ada.Account.ID, key.Key.ID)
		if d := cmp.Diff(key.Key, stored, byText); d != "" || err != nil {
			t.Error(d, err)
		}
		read()
		guard := authn.NewGuard(h.accounts, authn.GuardConfig{}, h.keys)
		for range 2 {
			for addr, want := range map[string]error{
				"192.0.2.1":                nil,
				"192.0.3.1":                authn.ErrAddress,
				"::ffff:192.0.2.1":         nil,
				"::ffff:192.0.3.1":         authn.ErrAddress,
				"198.51.100.7":             nil,
				"::ffff:198.51.100.7":      nil,
				"2001:db8::1":              nil,
				"2001:db8:1::1%eth0":       nil,
				"2001:db9::1":              authn.ErrAddress,
				"0.0.0.0":                  authn.ErrAddress,
				"::":                       authn.ErrAddress,
				"::192.0.2.1":              authn.ErrAddress,
				"64:ff9b::192.0.2.1":       authn.ErrAddress,
				"0000:0000::ffff:c000:201": nil,
			} {
				c := shown("Bearer "+key.Secret, "")
				c.Addr = netip.MustParseAddr(addr)
				_, err := guard.Check(t.Context(), h.db, c, 0)
				wantErr(t, addr, err, want)
				c.Value = free.Secret
				_, err = guard.Check(t.Context(), h.db, c, 0)
				wantErr(t, addr+", a key of anywhere", err, nil)
			}
			_, err := guard.Check(t.Context(), h.db, shown("Bearer "+key.Secret, ""), 0)
			wantErr(t, "no address known", err, authn.ErrAddress)
			wantErr(t, "no guard in front", h.verify(t, key.Secret), authn.ErrAddress)
		}
		wrong, _, _ := authn.Rekey(h.keys, key.Key.ID)
		c := shown("Bearer "+wrong, "")
		c.Addr = netip.MustParseAddr("192.0.3.1")
		_, err = guard.Check(t.Context(), h.db, c, 0)
		wantErr(t, "a wrong secret from elsewhere learns nothing", err, authn.ErrBadCredential)
	})
}

func TestM12_TheAddressIsTheClientsBehindTrustedProxiesAlone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ada := h.register(t, "ada@example.com")
		key := h.make(t, authn.Issue{Account: ada.Account.ID, Actor: userOf(ada), Addresses: networks("203.0.113.0/24")})
		for _, c := range []struct {
			peer, forwarded string
			trusted         []netip.Prefix
			status          int
		}{
			{"203.0.113.9:4711", "", nil, 200},
			{"[::ffff:203.0.113.9]:4711", "", nil, 200},
			{"203.0.114.9:4711", "", nil, 403},
			{"10.0.0.1:80", "203.0.113.9", nil, 403},
			{"10.0.0.1:80", "203.0.113.9", networks("10.0.0.0/8"), 200},
			{"[::ffff:10.0.0.1]:80", "203.0.113.9", networks("10.0.0.0/8"), 200},
			{"10.0.0.1:80", "203.0.113.9, 198.51.100.1", networks("10.0.0.0/8"), 403},
			{"10.0.0.1:80", "203.0.113.9, 10.0.0.2", networks("10.0.0.0/8"), 200},
			{"10.0.0.1:80", "", networks("10.0.0.0/8"), 403},
			{"198.51.100.1:80", "203.0.113.9", networks("10.0.0.0/8"), 403},
			{"@", "203.0.113.9", networks("0.0.0.0/0", "::/0"), 403},
			{"", "203.0.113.9", networks("0.0.0.0/0", "::/0"), 403},
		} {
			r := request("GET", "/", "", "X-API-Key", key.Secret)
			r.RemoteAddr = c.peer
			if c.forwarded != "" {
				r.Header.Set("X-Forwarded-For", c.forwarded)
			}
			guard := authn.NewGuard(h.accounts, authn.GuardConfig{TrustedProxies: c.trusted}, h.keys)
			w := serve(guard.Middleware(h.db, 0)(whoami), r)
			if w.Code != c.status || c.status == 403 && code(t, w) != "address_not_allowed" {
				t.Errorf("%+v: %d %s", c, w.Code, w.Body)
			}
		}
		// Without a Guard of the host's no proxy is trusted.
		r := request("GET", "/", "", "X-API-Key", key.Secret, "X-Forwarded-For", "203.0.113.9")
		if w := serve(h.keys.Middleware(h.db, 0)(whoami), r); w.Code != 403 {
			t.Errorf("X-Forwarded-For from anybody: %d", w.Code)
		}
	})
}
