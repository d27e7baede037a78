// Package rpc tells refusals in the words of gRPC, which Connect shares.
package rpc

import (
	"context"
	"log/slog"
	"net/http"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/quitrent/quitrent/tenancy"
)

// Domain is whose words the reasons are.
const Domain = "quitrent"

// Explain is a refusal as a client reads it: a code, a text, and the details that
// say the reason, the same as over HTTP, and how long to wait. The cause of what is
// not the client's doing goes into the log.
func Explain(ctx context.Context, err error) (codes.Code, string, []protoadapt.MessageV1) {
	p := tenancy.ProblemOf(err)
	if p.Status >= http.StatusInternalServerError {
		slog.ErrorContext(ctx, "call failed", "code", p.Code, "err", err)
	}
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: p.Code, Domain: Domain}}
	if p.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(p.RetryAfter)})
	}
	return code(p.Status), p.Detail, details
}

// code says the same of an error as a status of HTTP: who has to do what about it.
func code(status int) codes.Code {
	switch status {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusPaymentRequired, http.StatusConflict:
		return codes.FailedPrecondition // as it was sent it fails until the account is another
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusUnprocessableEntity, http.StatusBadRequest:
		return codes.InvalidArgument
	case http.StatusTooManyRequests:
		return codes.ResourceExhausted
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	}
	return codes.Internal
}
