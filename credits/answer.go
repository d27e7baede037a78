package credits

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
)

// mostKept is how much of an answer is kept back until its handler has returned, in bytes.
const mostKept = 64 << 10

// answer decides, before its first byte goes out, what becomes of the charge.
type answer struct {
	http.ResponseWriter

	request *http.Request
	charge  *charging
	before  http.Header // what was set before the handler ran

	status  int         // that the handler wrote; 0: none yet
	header  http.Header // and what it had set by then
	settles bool        // it is to be charged
	kept    []byte
	out     bool // it goes out as it comes
	taken   bool // the handler has the connection
	// err is why it could not be charged: nothing of it goes out.
	err error
}

func (a *answer) WriteHeader(status int) {
	switch {
	case a.status != 0 || a.err != nil: // as the first one said
	case status < 100 || status > 999, status < http.StatusOK && status != http.StatusSwitchingProtocols:
		a.ResponseWriter.WriteHeader(status) // it panics, or comes before the answer
	default:
		a.status, a.header = status, a.Header().Clone()
		a.settles = a.charge.charge.Settles(status)
	}
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	switch {
	case a.err != nil:
		return 0, a.err
	case a.out:
		return a.ResponseWriter.Write(b)
	case len(b) > 0 && !bodied(a.status):
		return 0, http.ErrBodyNotAllowed
	case len(a.kept)+len(b) <= mostKept:
		a.kept = append(a.kept, b...)
		return len(b), nil
	}
	if err := a.goOut(); err != nil {
		return 0, err
	}
	return a.ResponseWriter.Write(b)
}

// bodied reports that an answer of the status may have a body.
func bodied(status int) bool {
	return status >= http.StatusOK && status != http.StatusNoContent && status != http.StatusNotModified
}

// Flush sends what has been written: the answer has begun.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError is Flush for http.ResponseController. An answer that is not charged is not
// sent before its handler has returned.
func (a *answer) FlushError() error {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if !a.out {
		if a.err == nil && !a.settles {
			return nil
		}
		if err := a.goOut(); err != nil {
			return err
		}
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Hijack is for what becomes of the connection afterwards: the answer has begun.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if a.status != 0 || a.err != nil {
		if err := a.goOut(); err != nil {
			return nil, nil, err
		}
	}
	conn, rw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	a.taken = true
	if a.status == 0 {
		a.status = http.StatusSwitchingProtocols
		a.settles = a.charge.charge.Settles(a.status)
		if err := a.goOut(); err != nil {
			_ = conn.Close()
			return nil, nil, err
		}
	}
	return conn, rw, nil
}

// Unwrap lets http.ResponseController reach what else the connection can do.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// goOut sends the answer as it comes from here on, once it is certain that it will be paid
// for.
func (a *answer) goOut() error {
	if a.out || a.err != nil {
		return a.err
	}
	if a.settles {
		if err := a.charge.begin(); err != nil {
			a.err = unpaid(err)
			return a.err
		}
	}
	a.out = true
	if !a.taken {
		a.send(false)
	}
	return nil
}

// unpaid is why an answer could not be charged. That its hold has ended is no conflict of
// the client's making.
func unpaid(err error) error {
	if errors.Is(err, ErrHoldEnded) {
		return fmt.Errorf("credits: the hold of a request ended before its answer began: %v", err)
	}
	return err
}

// send sends what was kept, with the header as it was when the handler wrote it. Later ones
// stay for the trailers.
func (a *answer) send(final bool) {
	h := a.Header()
	late := maps.Clone(h)
	reset(h, a.header)
	priced := a.settles || final
	if priced {
		a.charge.headers(h)
	}
	if a.trails() && !final {
		h.Add("Trailer", HeaderCost)
		h.Add("Trailer", HeaderRemaining)
	}
	a.ResponseWriter.WriteHeader(a.status)
	reset(h, late)
	if priced {
		a.charge.headers(h) // for whoever logs them
	}
	if len(a.kept) > 0 {
		_, _ = a.ResponseWriter.Write(a.kept)
		a.kept = nil
	}
}

// trails reports that trailers follow: the cost is known at the end, and there is a body
// whose end is not known before.
func (a *answer) trails() bool {
	return a.settles && a.charge.charge.Metered && bodied(a.status) && a.request.Method != http.MethodHead &&
		a.request.ProtoAtLeast(1, 1) && a.header.Get("Content-Length") == ""
}

func reset(h, to http.Header) {
	clear(h)
	maps.Copy(h, to)
}

// finish is for a handler that has returned.
func (a *answer) finish() {
	if a.status == 0 && a.err == nil {
		a.WriteHeader(http.StatusOK) // it wrote nothing
	}
	if a.out {
		a.ended()
		return
	}
	if a.err == nil && a.settles {
		if err := a.charge.settle(); err != nil {
			a.err = unpaid(err)
		}
	}
	if a.err == nil {
		if !a.settles {
			a.charge.release()
		}
		a.send(true)
		return
	}
	a.charge.release()
	if a.taken {
		return
	}
	reset(a.Header(), a.before)
	a.charge.headers(a.Header())
	a.charge.ledger.cfg.OnError(a.ResponseWriter, a.request, a.err)
}

// abort is for a handler that does not return. A failure that it had written is sent.
func (a *answer) abort() {
	if a.out {
		a.ended()
		return
	}
	a.charge.release()
	if a.err == nil && a.status != 0 && !a.settles {
		a.send(true)
		return
	}
	a.charge.headers(a.Header()) // for whoever answers instead
}

// ended is for an answer that went out as it came.
func (a *answer) ended() {
	if !a.settles {
		a.charge.release()
		return
	}
	a.charge.end()
	a.charge.headers(a.Header()) // as trailers, if they were announced
}
