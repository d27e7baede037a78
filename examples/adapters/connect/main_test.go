package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/quitrent/quitrent/examples/adapters/internal/adaptertest"
	"github.com/quitrent/quitrent/examples/adapters/internal/rpc"
	"github.com/quitrent/quitrent/tenancy"
)

func TestM6_ACredentialOpensItsAccountAsFarAsThatMayGo(t *testing.T) {
	adaptertest.M6(t, server, func(t *testing.T, addr string, header http.Header) adaptertest.Answer {
		res, err := client(addr, say).CallUnary(t.Context(), request(header))
		if err != nil {
			return told(t, err)
		}
		return adaptertest.Answer{Body: res.Msg.GetValue()}
	})
}

func TestM6_AStreamIsLetInLikeACall(t *testing.T) {
	adaptertest.M6(t, server, func(t *testing.T, addr string, header http.Header) adaptertest.Answer {
		stream, err := client(addr, repeat).CallServerStream(t.Context(), request(header))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = stream.Close() }()
		var said []string
		for stream.Receive() {
			said = append(said, stream.Msg().GetValue())
		}
		if err := stream.Err(); err != nil {
			return told(t, err)
		}
		if len(said) != 2 || said[0] != said[1] {
			t.Fatalf("it said %q", said)
		}
		return adaptertest.Answer{Body: said[0]}
	})
}

func TestRefusal_LeavesWhatAHandlerToldAlone(t *testing.T) {
	own := connect.NewError(connect.CodeDataLoss, errors.New("gone"))
	if got := refusal(t.Context(), own); !errors.Is(got, own) {
		t.Errorf("%v", got)
	}
	if got := refusal(t.Context(), nil); got != nil {
		t.Errorf("nothing became %v", got)
	}
	var told *connect.Error
	if got := refusal(t.Context(), tenancy.ErrLimit); !errors.As(got, &told) || told.Code() != connect.CodeFailedPrecondition {
		t.Errorf("a refusal of the library became %v", got)
	}
	broken := errors.New("dial tcp 10.0.0.7: refused")
	gone, cancel := context.WithCancel(t.Context())
	if got := refusal(gone, broken); connect.CodeOf(got) != connect.CodeUnavailable || strings.Contains(got.Error(), "10.0.0.7") {
		t.Errorf("%v became %v", broken, got)
	}
	cancel()
	if got := refusal(gone, broken); !errors.Is(got, context.Canceled) || strings.Contains(got.Error(), "10.0.0.7") {
		t.Errorf("%v of a client that went away became %v", broken, got)
	}
}

func client(addr, procedure string) *connect.Client[emptypb.Empty, wrapperspb.StringValue] {
	return connect.NewClient[emptypb.Empty, wrapperspb.StringValue](http.DefaultClient, "http://"+addr+procedure)
}

func request(header http.Header) *connect.Request[emptypb.Empty] {
	req := connect.NewRequest(&emptypb.Empty{})
	for name, values := range header {
		req.Header()[name] = values
	}
	return req
}

// told is what a client reads in an error.
func told(t *testing.T, err error) adaptertest.Answer {
	t.Helper()
	var refused *connect.Error
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	got := adaptertest.Answer{Status: int(refused.Code()), Challenge: refused.Meta().Get("WWW-Authenticate")}
	for _, d := range refused.Details() {
		value, err := d.Value()
		if err != nil {
			t.Fatal(err)
		}
		switch detail := value.(type) {
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
