package main

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// wrap makes a middleware of net/http one of gin's. What follows sees the request
// that the middleware passes on, and answers through its writer. Where the middleware
// answers by itself, nothing follows: gin would go on.
func wrap(middleware func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r
			if own := c.Writer; w != http.ResponseWriter(own) {
				answer := &writer{ResponseWriter: own, to: w, status: own.Status()}
				c.Writer = answer
				defer func() { c.Writer = own }() // also for who recovers from a panic
				c.Next()
				answer.finish()
				return
			}
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}

// writer is gin's, with the writer of a middleware in between: that of credits looks
// whether the answer is a failure. Like gin's own it keeps the status until there is a
// body, since a handler may change its mind.
type writer struct {
	gin.ResponseWriter
	to      http.ResponseWriter
	status  int
	named   bool // the handler named a status
	written bool
	size    int
}

func (w *writer) Header() http.Header { return w.to.Header() }

func (w *writer) WriteHeader(status int) {
	if status > 0 && !w.written {
		w.status, w.named = status, true
	}
}

func (w *writer) WriteHeaderNow() {
	if !w.written {
		w.written = true
		w.to.WriteHeader(w.status)
	}
}

func (w *writer) Write(b []byte) (int, error) {
	w.WriteHeaderNow()
	n, err := w.to.Write(b)
	w.size += n
	return n, err
}

func (w *writer) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

func (w *writer) Flush() {
	w.WriteHeaderNow()
	_ = http.NewResponseController(w.to).Flush()
}

func (w *writer) Status() int                 { return w.status }
func (w *writer) Written() bool               { return w.written }
func (w *writer) Unwrap() http.ResponseWriter { return w.to }

func (w *writer) Size() int {
	if !w.written {
		return -1 // as gin says it
	}
	return w.size
}

// finish passes on a status that came without a body.
func (w *writer) finish() {
	if w.named {
		w.WriteHeaderNow()
	}
}
