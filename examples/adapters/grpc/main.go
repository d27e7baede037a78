// Grpc shows Quitrent behind gRPC: interceptors let calls and streams in by the
// metadata "authorization", and refusals are statuses with details that say the
// reason and how long to wait.
//
//	go run -C examples/adapters ./grpc
package main

import (
	"context"
	"net"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/quitrent/quitrent/examples/adapters/internal/rpc"
	"github.com/quitrent/quitrent/examples/adapters/internal/service"
)

func main() {
	service.Main("grpc", `printf '\0\0\0\0\0' | curl -s -D - -o - --http2-prior-knowledge http://ADDR`+say+
		" -H 'Content-Type: application/grpc' -H 'TE: trailers' -H 'Authorization: Bearer KEY' --data-binary @-", server)
}

func server(s *service.Service) service.Server {
	g := guard{s}
	srv := grpc.NewServer(grpc.UnaryInterceptor(g.unary), grpc.StreamInterceptor(g.stream))
	srv.RegisterService(&hello, s)
	healthpb.RegisterHealthServer(srv, health.NewServer())
	return front{srv}
}

// open are the methods that need no credential: a load balancer has none.
func open(method string) bool { return strings.HasPrefix(method, "/grpc.health.v1.Health/") }

// guard lets calls in and tells refusals, its own and those that handlers return.
type guard struct{ *service.Service }

// enter is Enter for a call of gRPC.
func (g guard) enter(ctx context.Context) (context.Context, error) {
	h := http.Header{}
	md, _ := metadata.FromIncomingContext(ctx)
	for name, values := range md {
		h[http.CanonicalHeaderKey(name)] = values
	}
	from := ""
	if p, ok := peer.FromContext(ctx); ok {
		from = p.Addr.String()
	}
	return g.Enter(ctx, h, from)
}

func (g guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if open(info.FullMethod) {
		return next(ctx, req)
	}
	in, err := g.enter(ctx)
	if err != nil {
		return nil, refusal(ctx, err, func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) })
	}
	res, err := next(in, req)
	return res, refusal(in, err, func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) })
}

func (g guard) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if open(info.FullMethod) {
		return next(srv, stream)
	}
	in, err := g.enter(stream.Context())
	if err == nil {
		err = next(srv, &entered{ServerStream: stream, guard: g, ctx: in})
	}
	return refusal(stream.Context(), err, stream.SetTrailer)
}

// entered is a stream whose context is in an account. The account may be suspended
// while the stream is open, and its pace is for messages too: each but the first,
// which the opening has paid for, is let in like a call.
type entered struct {
	grpc.ServerStream
	guard guard
	ctx   context.Context
	begun bool
}

func (e *entered) Context() context.Context { return e.ctx }

func (e *entered) RecvMsg(m any) error {
	if err := e.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if !e.begun {
		e.begun = true
		return nil
	}
	_, err := e.guard.enter(e.ServerStream.Context())
	return err
}

// refusal is err as gRPC tells it.
func refusal(ctx context.Context, err error, trailer func(metadata.MD)) error {
	if _, told := status.FromError(err); told {
		return err // nothing, or a handler's own
	}
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	code, text, details := rpc.Explain(ctx, err)
	if code == codes.Unauthenticated {
		trailer(metadata.Pairs("www-authenticate", "Bearer"))
	}
	st := status.New(code, text)
	if detailed, err := st.WithDetails(details...); err == nil {
		st = detailed
	}
	return st.Err()
}

// front makes a server of gRPC a Server.
type front struct{ srv *grpc.Server }

func (f front) Serve(l net.Listener) error { return f.srv.Serve(l) }

func (f front) Shutdown(ctx context.Context) error {
	stop := context.AfterFunc(ctx, f.srv.Stop) // streams may be open for ever
	defer stop()
	f.srv.GracefulStop()
	return nil
}
