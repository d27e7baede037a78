package throttle

import (
	"net/http"
	"net/netip"

	"github.com/quitrent/quitrent/internal/clientaddr"
)

// ClientAddr is the network address a request comes from: the peer's, unless the
// peer is in trusted. Then it is the right-most address of X-Forwarded-For that is
// not in trusted, since everything left of that one may be made up; several such
// headers count as one list. Entries may have a port. At the first that is no
// address the search ends with the last trusted one before it, and where all are
// trusted the left-most counts.
//
// IPv4 in IPv6 comes out as IPv4, and zones are dropped. The result is the zero
// Addr when the peer has no address, as on a Unix socket.
func ClientAddr(r *http.Request, trusted []netip.Prefix) netip.Addr { return clientaddr.Of(r, trusted) }
