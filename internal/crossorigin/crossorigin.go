// Package crossorigin tells what a page of another origin made a browser send.
package crossorigin

import "net/http"

// Refused reports that p lets r through as no request of the service's own pages. The
// method of a WebSocket's handshake is GET, and yet it is no mere reading: a page of any
// origin may begin one and read what comes.
func Refused(p *http.CrossOriginProtection, r *http.Request) bool {
	if r.Header.Get("Upgrade") != "" {
		r = r.WithContext(r.Context()) // a copy
		r.Method = http.MethodPost
	}
	return p.Check(r) != nil
}
