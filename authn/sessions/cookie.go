package sessions

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/quitrent/quitrent/authn"
	"github.com/quitrent/quitrent/internal/crossorigin"
)

// Read implements authn.Reader: it finds the session's token in its cookie. An empty
// cookie is none.
//
// It returns authn.ErrNoCredential; ErrCrossOrigin for a request that may change
// something, or opens a socket, and that a page of another origin made the browser
// send, unless that one is trusted; and authn.ErrBadCredential where there are two
// cookies of the name, since it would be a matter of chance who the caller is.
func (s *Sessions) Read(r *http.Request) (authn.Credential, error) {
	name, _ := s.cookie(r)
	switch cookies := r.CookiesNamed(name); {
	case len(cookies) > 1:
		return authn.Credential{}, fmt.Errorf("%w: there are two session cookies: clear the cookies of this site and sign in", authn.ErrBadCredential)
	case len(cookies) == 0 || cookies[0].Value == "":
		return authn.Credential{}, authn.ErrNoCredential
	default:
		return authn.Credential{Scheme: Scheme, Value: cookies[0].Value}, s.sameOrigin(r)
	}
}

// sameOrigin refuses what a page of another origin made a browser send.
func (s *Sessions) sameOrigin(r *http.Request) error {
	if crossorigin.Refused(s.origins, r) {
		return ErrCrossOrigin
	}
	return nil
}

// SetCookie hands a session to the browser that r came from: in a cookie that no script
// reads (HttpOnly), that goes over TLS alone (Secure), to this host alone (Path=/, no
// Domain) and with no request that another site makes but a plain link (SameSite=Lax),
// and that ends with the session at the latest. Call it once the session is committed.
func (s *Sessions) SetCookie(w http.ResponseWriter, r *http.Request, issued Issued) {
	left := issued.Session.ExpiresAt.Sub(s.now())
	s.setCookie(w, r, string(issued.Token), max(1, int(left/time.Second)))
}

// ClearCookie has the browser that r came from forget the session.
func (s *Sessions) ClearCookie(w http.ResponseWriter, r *http.Request) { s.setCookie(w, r, "", -1) }

func (s *Sessions) setCookie(w http.ResponseWriter, r *http.Request, value string, maxAge int) {
	name, secure := s.cookie(r)
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		Secure: secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// cookie is the name of the cookie between this host and the browser of r, and whether
// it goes over TLS alone.
func (s *Sessions) cookie(r *http.Request) (name string, secure bool) {
	if s.cfg.PlainHTTPOnLoopback && plainLoopback(r) {
		return s.plain, false
	}
	return s.cfg.Cookie, true
}

// plainLoopback reports that r came over plain HTTP from this machine, for a name of
// this machine, and through no proxy, which could be the one that ends the TLS of the
// whole service.
func plainLoopback(r *http.Request) bool {
	for _, h := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"} {
		if len(r.Header.Values(h)) > 0 {
			return false
		}
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return r.TLS == nil && err == nil && peer.Addr().Unmap().IsLoopback() && loopbackName(strings.Trim(host, "[]"))
}

// loopbackName reports that a host's name leads to this machine (RFC 6761, section
// 6.3).
func loopbackName(host string) bool {
	host = strings.ToLower(host)
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
