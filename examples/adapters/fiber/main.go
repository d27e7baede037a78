// Fiber shows Quitrent behind fiber, which is not built on net/http. Its adaptor for
// middlewares of net/http would enforce everything and lose the account, and run the
// handler after the middleware: so this goes in by the transport-free way.
//
//	go run -C examples/adapters ./fiber
package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"

	"github.com/quitrent/quitrent/examples/adapters/internal/service"
	"github.com/quitrent/quitrent/tenancy"
)

func main() {
	service.Main("fiber", "curl -i http://ADDR/hello -H 'Authorization: Bearer KEY'", server)
}

func server(s *service.Service) service.Server {
	app := fiber.New(fiber.Config{ErrorHandler: refuse, ReadTimeout: 30 * time.Second})
	in := app.Group("/", func(c fiber.Ctx) error {
		ctx, err := s.Enter(c.Context(), header(c), c.RequestCtx().RemoteAddr().String())
		if err != nil {
			return err
		}
		c.SetContext(ctx)
		return c.Next()
	})
	in.Get("/hello", func(c fiber.Ctx) error {
		return c.SendString(s.Hello(c.Context())) // c itself knows no account
	})
	return front{app}
}

// header copies what the client sent: fiber's strings change with its next request,
// and a credential may be remembered for longer.
func header(c fiber.Ctx) http.Header {
	h := http.Header{}
	for name, value := range c.Request().Header.All() {
		h.Add(string(name), string(value))
	}
	return h
}

// refuse answers with the error of a handler: fiber's own as fiber does, any other as
// Quitrent does.
func refuse(c fiber.Ctx, err error) error {
	var own *fiber.Error
	if errors.As(err, &own) {
		return fiber.DefaultErrorHandler(c, err)
	}
	return adaptor.HTTPHandlerFunc(func(w http.ResponseWriter, r *http.Request) { tenancy.Refuse(w, r, err) })(c)
}

// front makes an app a Server.
type front struct{ app *fiber.App }

func (f front) Serve(l net.Listener) error {
	return f.app.Listener(l, fiber.ListenConfig{DisableStartupMessage: true})
}

func (f front) Shutdown(ctx context.Context) error { return f.app.ShutdownWithContext(ctx) }
