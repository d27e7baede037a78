package main

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/quitrent/quitrent/examples/adapters/internal/service"
)

// The methods by their whole names.
const (
	say  = "/adapters.v1.Hello/Say"
	chat = "/adapters.v1.Hello/Chat"
)

// hello is what protoc would make of
//
//	service Hello {
//	  rpc Say(google.protobuf.Empty) returns (google.protobuf.StringValue);
//	  rpc Chat(stream google.protobuf.Empty) returns (stream google.protobuf.StringValue);
//	}
//
// and its handlers.
var hello = grpc.ServiceDesc{
	ServiceName: "adapters.v1.Hello",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Say",
		Handler: func(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			var req emptypb.Empty
			if err := decode(&req); err != nil {
				return nil, err
			}
			return intercept(ctx, &req, &grpc.UnaryServerInfo{Server: srv, FullMethod: say}, func(ctx context.Context, _ any) (any, error) {
				return wrapperspb.String(srv.(*service.Service).Hello(ctx)), nil
			})
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName: "Chat", ServerStreams: true, ClientStreams: true,
		Handler: func(srv any, stream grpc.ServerStream) error {
			for {
				var req emptypb.Empty
				if err := stream.RecvMsg(&req); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if err := stream.SendMsg(wrapperspb.String(srv.(*service.Service).Hello(stream.Context()))); err != nil {
					return err
				}
			}
		},
	}},
}
