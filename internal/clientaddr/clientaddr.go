// Package clientaddr finds the network address that a request comes from.
package clientaddr

import (
	"net/http"
	"net/netip"
	"strings"
)

// Of is the network address a request comes from: the peer's, unless the
// peer is in trusted. Then it is the right-most address of X-Forwarded-For that is
// not in trusted, since everything left of that one may be made up; several such
// headers count as one list. Entries may have a port. At the first that is no
// address the search ends with the last trusted one before it, and where all are
// trusted the left-most counts.
//
// IPv4 in IPv6 comes out as IPv4, and zones are dropped. The result is the zero
// Addr when the peer has no address, as on a Unix socket.
func Of(r *http.Request, trusted []netip.Prefix) netip.Addr {
	addr, ok := parsePeer(r.RemoteAddr)
	if !ok || !Contains(trusted, addr) {
		return addr
	}
	lists := r.Header.Values("X-Forwarded-For")
	for i := len(lists) - 1; i >= 0; i-- {
		for rest, more := lists[i], true; more; {
			var entry string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				entry, more = rest, false
			}
			hop, ok := parseAddr(strings.Trim(entry, " \t"))
			if !ok {
				return addr
			}
			addr = hop
			if !Contains(trusted, addr) {
				return addr
			}
		}
	}
	return addr
}

// parsePeer is parseAddr for what has a port as a rule, without an error in between.
func parsePeer(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().WithZone("").Unmap(), true
	}
	return parseAddr(s)
}

// parseAddr reads an address with or without a port.
func parseAddr(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = ap.Addr()
	}
	return addr.WithZone("").Unmap(), true
}

// Contains reports that one of the prefixes has addr in it, whichever way either
// writes an IPv4 address.
func Contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	addr = addr.WithZone("").Unmap() // a prefix has no zone, and none contains one
	for _, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Key is an address as far as it tells subscribers apart: IPv6 cut to its /64, the
// least that one subscriber has.
type Key [16]byte

// KeyOf is the key of addr. The zero Addr has one of its own: no IPv6 key has a last
// byte.
func KeyOf(addr netip.Addr) Key {
	if !addr.IsValid() {
		return Key{15: 1}
	}
	addr = addr.Unmap()
	key := Key(addr.As16())
	if addr.Is6() {
		clear(key[8:])
	}
	return key
}

// SiteOf is the key of the /48 that an IPv6 address is in, the most that one subscriber
// has as a rule. It reports false for any other address.
func SiteOf(addr netip.Addr) (Key, bool) {
	if addr = addr.Unmap(); !addr.Is6() {
		return Key{}, false
	}
	key := KeyOf(addr)
	clear(key[6:])
	return key, true
}
