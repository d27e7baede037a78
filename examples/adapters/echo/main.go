// Echo shows Quitrent behind echo, which takes middlewares of net/http by
// echo.WrapMiddleware.
//
//	go run -C examples/adapters ./echo
package main

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/quitrent/quitrent/credits"
	"github.com/quitrent/quitrent/examples/adapters/internal/service"
	"github.com/quitrent/quitrent/tenancy"
)

func main() {
	service.Main("echo", "curl -i http://ADDR/hello -H 'Authorization: Bearer KEY'", server)
}

func server(s *service.Service) service.Server {
	e := echo.New()
	e.Use(echo.WrapMiddleware(s.Limiter.ByAddress(nil))) // strangers
	in := e.Group("", echo.WrapMiddleware(s.Guard.Middleware(s.DB, tenancy.Use)), echo.WrapMiddleware(s.Limiter.Middleware))
	in.GET("/hello", func(c echo.Context) error {
		return c.String(http.StatusOK, s.Hello(c.Request().Context()))
	})
	in.POST("/ideas", func(c echo.Context) error {
		if c.FormValue("about") == "" {
			return echo.NewHTTPError(http.StatusBadRequest, "about is missing") // and the credits go back
		}
		return c.NoContent(http.StatusOK)
	}, echo.WrapMiddleware(s.Ledger.Middleware(s.DB, credits.Fixed(5))), answered)
	return service.HTTP(e)
}

// answered answers with the error that a handler returns at once. Echo would do it
// when all middlewares are done, and that of credits would have taken the silence for
// a success.
func answered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := next(c); err != nil {
			c.Error(err)
		}
		return nil
	}
}
