package clientaddr

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

var proxies = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("2001:db8:ffff::/48"),
	netip.MustParsePrefix("::ffff:172.16.0.0/108"),
}

func TestOf(t *testing.T) {
	for _, tc := range []struct {
		peer string
		list []string
		want string
	}{
		{"192.0.2.1:80", nil, "192.0.2.1"},
		{"192.0.2.1", nil, "192.0.2.1"},
		{"[2001:db8::1]:80", nil, "2001:db8::1"},
		{"[fe80::1%eth0]:80", nil, "fe80::1"},
		{"[::ffff:192.0.2.1]:80", nil, "192.0.2.1"},
		{"@", []string{"192.0.2.9"}, "invalid IP"},
		{"", []string{"192.0.2.9"}, "invalid IP"},

		{"192.0.2.1:80", []string{"192.0.2.9"}, "192.0.2.1"},
		{"10.0.0.1:80", nil, "10.0.0.1"},
		{"10.0.0.1:80", []string{""}, "10.0.0.1"},
		{"10.0.0.1:80", []string{"192.0.2.9"}, "192.0.2.9"},
		{"[::ffff:10.0.0.1]:80", []string{"192.0.2.9"}, "192.0.2.9"},
		{"172.16.0.1:80", []string{"192.0.2.9"}, "192.0.2.9"},
		{"172.15.0.1:80", []string{"192.0.2.9"}, "172.15.0.1"},
		{"10.0.0.1:80", []string{"192.0.2.8,\t192.0.2.9 "}, "192.0.2.9"},
		{"10.0.0.1:80", []string{"192.0.2.8", "192.0.2.9"}, "192.0.2.9"},
		{"10.0.0.1:80", []string{"192.0.2.8, 192.0.2.9, 10.0.0.2", "2001:db8:ffff::1"}, "192.0.2.9"},
		{"10.0.0.1:80", []string{"192.0.2.9:4711"}, "192.0.2.9"},
		{"10.0.0.1:80", []string{"[2001:db8::9]:4711"}, "2001:db8::9"},
		{"10.0.0.1:80", []string{"2001:db8::9"}, "2001:db8::9"},
		{"10.0.0.1:80", []string{"fe80::9%25eth0"}, "fe80::9"},
		{"10.0.0.1:80", []string{"::ffff:192.0.2.9, ::ffff:10.0.0.3"}, "192.0.2.9"},
		{"10.0.0.1:80", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},

		// What is no address hides all that is left of it.
		{"10.0.0.1:80", []string{"192.0.2.9, unknown"}, "10.0.0.1"},
		{"10.0.0.1:80", []string{"192.0.2.9, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"10.0.0.1:80", []string{"192.0.2.9,"}, "10.0.0.1"},
		{"10.0.0.1:80", []string{"192.0.2.9", ""}, "10.0.0.1"},
		{"10.0.0.1:80", []string{"192.0.2.9 192.0.2.8"}, "10.0.0.1"},
		{"10.0.0.1:80", []string{"0192.0.2.9"}, "10.0.0.1"},
	} {
		r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{"X-Forwarded-For": tc.list}}
		if got := Of(r, proxies).String(); got != tc.want {
			t.Errorf("peer %q, X-Forwarded-For %q: %s, want %s", tc.peer, tc.list, got, tc.want)
		}
		if got, want := Of(r, nil), Of(&http.Request{RemoteAddr: tc.peer}, nil); got != want {
			t.Errorf("peer %q, X-Forwarded-For %q: %s though no proxy is trusted", tc.peer, tc.list, got)
		}
	}
}

func FuzzOf(f *testing.F) {
	f.Add("192.0.2.1:80", "198.51.100.1", "203.0.113.1")
	f.Add("10.0.0.1:80", "198.51.100.1, 10.0.0.2", "203.0.113.1,unknown,10.0.0.3:1")
	f.Add("[2001:db8:ffff::1]:80", "::ffff:10.0.0.1, fe80::1%a", ",")
	f.Add("@", "", " ,, ")
	f.Fuzz(func(t *testing.T, peer, first, second string) {
		r := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {first, second}}}
		got := Of(r, proxies)
		alone := Of(&http.Request{RemoteAddr: peer}, nil)
		if got.Zone() != "" || got.Is4In6() {
			t.Fatalf("%v has a zone or is IPv4 in IPv6", got)
		}
		if !Contains(proxies, alone) && got != alone {
			t.Fatalf("%v though the peer %v is no proxy", got, alone)
		}
		if got.IsValid() != alone.IsValid() {
			t.Fatalf("%v from %v", got, alone)
		}
		// What somebody puts in front of the list the proxies wrote changes nothing,
		// once that list holds an address that is not a proxy's.
		forged := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {"198.51.100.7", "198.51.100.8, 192.0.2.1", second}}}
		honest := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {first + ", 192.0.2.1", second}}}
		if a, b := Of(forged, proxies), Of(honest, proxies); a != b {
			t.Fatalf("%v, and %v with another start of the list", a, b)
		}
		// Several headers are one list.
		joined := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {strings.Join([]string{first, second}, ",")}}}
		if a := Of(joined, proxies); a != got {
			t.Fatalf("%v in one header, %v in two", a, got)
		}
	})
}

func TestContains_WhicheverWayEitherIsWritten(t *testing.T) {
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "::ffff:10.1.2.3%eth0": true, "172.16.0.1": true, "::ffff:172.16.0.1": true,
		"2001:db8:ffff::1": true, "2001:db8:ffff::1%eth0": true, "11.1.2.3": false, "::ffff:11.1.2.3": false, "::10.1.2.3": false, "::": false,
	} {
		if got := Contains(proxies, netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if Contains(proxies, netip.Addr{}) || Contains(nil, netip.MustParseAddr("10.1.2.3")) {
		t.Error("no address, or no prefix, is in one")
	}
}

func TestKeyOf_AndSiteOf_TellSubscribersApart(t *testing.T) {
	addr := netip.MustParseAddr
	for _, c := range []struct {
		a, b       string
		key, inOne bool
	}{
		{"192.0.2.1", "::ffff:192.0.2.1", true, false},
		{"192.0.2.1", "192.0.2.2", false, false},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2", false, false},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::2", true, true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false, true},
		{"2001:db8:1:2::1", "2001:db8:2:2::1", false, false},
	} {
		if got := KeyOf(addr(c.a)) == KeyOf(addr(c.b)); got != c.key {
			t.Errorf("%s and %s have one key: %v", c.a, c.b, got)
		}
		a, ok := SiteOf(addr(c.a))
		b, _ := SiteOf(addr(c.b))
		if got := ok && a == b; got != c.inOne {
			t.Errorf("%s and %s are of one site: %v", c.a, c.b, got)
		}
	}
	if _, ok := SiteOf(netip.Addr{}); ok {
		t.Error("no address has a site")
	}
}
