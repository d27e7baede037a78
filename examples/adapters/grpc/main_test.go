package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/quitrent/quitrent/examples/adapters/internal/adaptertest"
	"github.com/quitrent/quitrent/examples/adapters/internal/rpc"
	"github.com/quitrent/quitrent/tenancy"
)

func TestM6_ACredentialOpensItsAccountAsFarAsThatMayGo(t *testing.T) {
	adaptertest.M6(t, server, func(t *testing.T, addr string, header http.Header) adaptertest.Answer {
		var out wrapperspb.StringValue
		var trailer metadata.MD
		err := dial(t, addr).Invoke(with(t.Context(), header), say, &emptypb.Empty{}, &out, grpc.Trailer(&trailer))
		if err != nil {
			return told(t, err, trailer)
		}
		return adaptertest.Answer{Body: out.GetValue()}
	})
}

func TestM6_AStreamIsLetInLikeACall(t *testing.T) {
	adaptertest.M6(t, server, func(t *testing.T, addr string, header http.Header) adaptertest.Answer {
		stream := begin(t, addr, header)
		said, err := ask(t, stream)
		if err != nil {
			return told(t, err, stream.Trailer())
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(new(wrapperspb.StringValue)); !errors.Is(err, io.EOF) {
			t.Fatalf("the stream ends with %v", err)
		}
		return adaptertest.Answer{Body: said}
	})
}

func TestM6_AnOpenStreamEndsWithItsAccountsRights(t *testing.T) {
	a := adaptertest.Start(t, server)
	account, key := a.Join(t, "ada", tenancy.DefaultTrialPlan)
	stream := begin(t, a.Addr, key)
	for range 2 {
		if said, err := ask(t, stream); err != nil || said != "hello, "+string(account) {
			t.Fatalf("%q, %v", said, err)
		}
	}
	a.Suspend(t, account)
	_, err := ask(t, stream)
	if got := told(t, err, stream.Trailer()); got.Code != "account_suspended" || got.Status != int(codes.PermissionDenied) {
		t.Errorf("%+v", got)
	}
}

func TestM7_AStreamGoesNoFasterThanItsAccountMay(t *testing.T) {
	a := adaptertest.Start(t, server)
	_, key := a.Join(t, "slow", "slow")
	stream := begin(t, a.Addr, key)
	for range 2 {
		if _, err := ask(t, stream); err != nil {
			t.Fatal(err)
		}
	}
	_, err := ask(t, stream)
	if got := told(t, err, stream.Trailer()); got.Code != "rate_limited" || got.RetryAfter.Seconds() != 4 {
		t.Errorf("%+v", got)
	}
}

func TestHealth_IsOpen(t *testing.T) {
	a := adaptertest.Start(t, server)
	res, err := healthpb.NewHealthClient(dial(t, a.Addr)).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || res.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", res, err)
	}
}

func TestRefusal_LeavesWhatAHandlerToldAlone(t *testing.T) {
	none := func(metadata.MD) { t.Error("a trailer") }
	own := status.Error(codes.DataLoss, "gone")
	if got := refusal(t.Context(), own, none); !errors.Is(got, own) {
		t.Errorf("%v", got)
	}
	if got := refusal(t.Context(), nil, none); got != nil {
		t.Errorf("nothing became %v", got)
	}
	if got := status.Code(refusal(t.Context(), tenancy.ErrLimit, none)); got != codes.FailedPrecondition {
		t.Errorf("a refusal of the library became %v", got)
	}
	for _, what := range []error{errors.New("dial tcp 10.0.0.7: refused"), context.Canceled} {
		gone, cancel := context.WithCancel(t.Context())
		if got := refusal(gone, what, none); status.Code(got) != codes.Unavailable || strings.Contains(got.Error(), "10.0.0.7") {
			t.Errorf("%v became %v", what, got)
		}
		cancel()
		if got := refusal(gone, what, none); status.Code(got) != codes.Canceled || strings.Contains(got.Error(), "10.0.0.7") {
			t.Errorf("%v of a client that went away became %v", what, got)
		}
	}
}

func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func with(ctx context.Context, header http.Header) context.Context {
	for name, values := range header {
		for _, v := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, name, v)
		}
	}
	return ctx
}

// begin opens a Chat.
func begin(t *testing.T, addr string, header http.Header) grpc.ClientStream {
	t.Helper()
	stream, err := dial(t, addr).NewStream(with(t.Context(), header), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, chat)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// ask sends a message and reads its answer. Where the stream has ended, the error is
// what it ended with.
func ask(t *testing.T, stream grpc.ClientStream) (string, error) {
	t.Helper()
	if err := stream.SendMsg(&emptypb.Empty{}); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	var out wrapperspb.StringValue
	err := stream.RecvMsg(&out)
	return out.GetValue(), err
}

// told is what a client reads in an error.
func told(t *testing.T, err error, trailer metadata.MD) adaptertest.Answer {
	t.Helper()
	st := status.Convert(err)
	got := adaptertest.Answer{Status: int(st.Code())}
	if c := trailer.Get("www-authenticate"); len(c) > 0 {
		got.Challenge = c[0]
	}
	for _, d := range st.Details() {
		switch detail := d.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() != rpc.Domain {
				t.Errorf("the domain %q", detail.GetDomain())
			}
			got.Code = detail.GetReason()
		case *errdetails.RetryInfo:
			got.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return got
}
