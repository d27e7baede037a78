package authn

import (
	"math"
	"testing"
	"time"
)

func TestKnown_IsBoundedAndKeepsWhoComesAgain(t *testing.T) {
	var k known
	often, once := pair{email: 1}, pair{email: 2}
	k.add(once)
	for i := range uint64(3 * remembered) {
		k.add(often)
		k.add(pair{email: i + 10})
		if n := len(k.now) + len(k.old); n > remembered {
			t.Fatalf("%d pairs", n)
		}
		if !k.has(often) {
			t.Fatalf("who comes again was forgotten after %d others", i)
		}
	}
	if k.has(once) {
		t.Error("who came once is remembered for ever")
	}
}

func TestAttempts_WhatIsNoLimitIsTheDefault(t *testing.T) {
	want := newAttempts(PasswordLimits{}, 1).pair
	for _, a := range []Attempts{{}, {Burst: 5}, {Every: time.Hour}, {-1, time.Hour}, {5, -time.Hour}} {
		if got := newAttempts(PasswordLimits{Pair: a}, 1).pair; got != want {
			t.Errorf("%+v is %+v", a, got)
		}
	}
	if got := newAttempts(PasswordLimits{Pair: Attempts{5, 2 * time.Second}}, 1).pair; got.Burst != 5 || math.Abs(float64(got.Rate)-0.5) > 1e-9 {
		t.Errorf("5, one every two seconds: %+v", got)
	}
}
