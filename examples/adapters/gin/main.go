// Gin shows Quitrent behind gin, whose middlewares call each other in a way of their
// own: wrap translates.
//
//	go run -C examples/adapters ./gin
package main

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/examples/adapters/internal/service"
	"github.com/quitrent/quitrent/tenancy"
)

func main() {
	service.Main("gin", "curl -i http://ADDR/hello -H 'Authorization: Bearer KEY'", server)
}

func server(s *service.Service) service.Server {
	gin.SetMode(gin.ReleaseMode)
	g := gin.New()
	g.ContextWithFallback = true // so that tenancy.From(c) finds the account too
	g.Use(gin.Recovery(), wrap(s.Limiter.ByAddress(nil)))
	in := g.Group("/", wrap(s.Guard.Middleware(s.DB, tenancy.Use)), wrap(s.Limiter.Middleware))
	in.GET("/hello", func(c *gin.Context) {
		c.String(http.StatusOK, s.Hello(c))
	})
	in.POST("/ideas", wrap(s.Ledger.Middleware(s.DB, credits.Fixed(5))), func(c *gin.Context) {
		if c.PostForm("about") == "" {
			c.String(http.StatusBadRequest, "about is missing") // and the credits go back
		}
	})
	return service.HTTP(g)
}
