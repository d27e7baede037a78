package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"
)

// observed is a writer that a middleware puts in between.
type observed struct {
	http.ResponseWriter
	status, bytes, flushes int
}

func (o *observed) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

func (o *observed) Write(b []byte) (int, error) {
	o.bytes += len(b)
	return o.ResponseWriter.Write(b)
}

func (o *observed) FlushError() error {
	o.flushes++
	return http.NewResponseController(o.ResponseWriter).Flush()
}

func TestWrap_TheMiddlewareSeesTheAnswer(t *testing.T) {
	gin.SetMode(gin.TestMode)
	for _, tc := range []struct {
		name    string
		handler gin.HandlerFunc
		seen    observed
		status  int // what the client sees
	}{
		{"nothing", func(*gin.Context) {}, observed{}, 200},
		{"a status alone", func(c *gin.Context) { c.Status(204) }, observed{status: 204}, 204},
		{"a change of mind", func(c *gin.Context) { c.Status(200); c.String(409, "no") }, observed{status: 409, bytes: 2}, 409},
		{"an abort", func(c *gin.Context) { c.AbortWithStatus(404) }, observed{status: 404}, 404},
		{"a stream", func(c *gin.Context) {
			_, _ = c.Writer.WriteString("a")
			c.Writer.Flush()
			_, _ = c.Writer.WriteString("b")
			if c.Writer.Status() != 200 || c.Writer.Size() != 2 || !c.Writer.Written() {
				t.Errorf("gin reads %d, %d bytes", c.Writer.Status(), c.Writer.Size())
			}
		}, observed{status: 200, bytes: 2, flushes: 1}, 200},
		{"a panic", func(*gin.Context) { panic("oh") }, observed{}, 500},
	} {
		var seen observed
		g := gin.New()
		g.Use(gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, _ any) { c.AbortWithStatus(500) }))
		g.GET("/", wrap(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = observed{ResponseWriter: w}
				next.ServeHTTP(&seen, r)
				seen.ResponseWriter = nil
			})
		}), tc.handler)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		seen.ResponseWriter = nil
		if seen != tc.seen || w.Code != tc.status {
			t.Errorf("%s: the middleware saw %+v, the client %d", tc.name, seen, w.Code)
		}
	}
}
