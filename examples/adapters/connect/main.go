// Connect shows Quitrent behind Connect: an interceptor lets calls in, and refusals
// are errors of Connect with details that say the reason and how long to wait.
//
//	go run -C examples/adapters ./connect
package main

import (
	"context"
	"errors"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/quitrent/quitrent/examples/adapters/internal/rpc"
	"github.com/quitrent/quitrent/examples/adapters/internal/service"
)

// The procedures, which protoc would name.
const (
	say    = "/adapters.v1.Hello/Say"
	repeat = "/adapters.v1.Hello/Repeat" // twice, as a stream
)

func main() {
	service.Main("connect", "curl -i http://ADDR"+say+" -H 'Authorization: Bearer KEY' -H 'Content-Type: application/json' -d '{}'", server)
}

func server(s *service.Service) service.Server {
	guarded := connect.WithInterceptors(guard{s})
	mux := http.NewServeMux()
	mux.Handle(say, connect.NewUnaryHandler(say,
		func(ctx context.Context, _ *connect.Request[emptypb.Empty]) (*connect.Response[wrapperspb.StringValue], error) {
			return connect.NewResponse(wrapperspb.String(s.Hello(ctx))), nil
		}, guarded))
	mux.Handle(repeat, connect.NewServerStreamHandler(repeat,
		func(ctx context.Context, _ *connect.Request[emptypb.Empty], out *connect.ServerStream[wrapperspb.StringValue]) error {
			said := wrapperspb.String(s.Hello(ctx))
			return errors.Join(out.Send(said), out.Send(said))
		}, guarded))
	return service.HTTP(mux)
}

// guard lets calls in and tells refusals, its own and those that handlers return. It
// is a whole interceptor: a connect.UnaryInterceptorFunc would leave streams open to
// everybody.
type guard struct{ *service.Service }

func (g guard) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		in, err := g.Enter(ctx, req.Header(), req.Peer().Addr)
		if err != nil {
			return nil, refusal(ctx, err)
		}
		res, err := next(in, req)
		return res, refusal(in, err)
	}
}

func (g guard) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		in, err := g.Enter(ctx, conn.RequestHeader(), conn.Peer().Addr)
		if err != nil {
			return refusal(ctx, err)
		}
		return refusal(in, next(in, conn))
	}
}

// WrapStreamingClient is for clients, of which this has none.
func (guard) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// refusal is err as Connect tells it.
func refusal(ctx context.Context, err error) error {
	var told *connect.Error
	if err == nil || errors.As(err, &told) {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err() // Connect has codes for these
	}
	code, text, details := rpc.Explain(ctx, err)
	told = connect.NewError(connect.Code(code), errors.New(text)) // the numbers are gRPC's
	if told.Code() == connect.CodeUnauthenticated {
		told.Meta().Set("WWW-Authenticate", "Bearer")
	}
	for _, d := range details {
		if detail, err := connect.NewErrorDetail(protoadapt.MessageV2Of(d)); err == nil {
			told.AddDetail(detail)
		}
	}
	return told
}
