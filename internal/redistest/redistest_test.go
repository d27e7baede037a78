package redistest

import (
	"errors"
	"net"
	"os"
	"testing"
)

func TestAddr_NamesAServerThatAnswers(t *testing.T) {
	if err := Ping(Addr(t)); err != nil {
		t.Fatal(err)
	}
}

func TestStart_StopEndsTheServer(t *testing.T) {
	addr, stop, err := Start(t.Context())
	if errors.Is(err, ErrNoBinary) && os.Getenv("CI") == "" {
		t.Skipf("Redis is not tested: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := Ping(addr); err != nil {
		t.Error(err)
	}
	stop()
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Error("the server still listens")
	}
}
