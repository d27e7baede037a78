package main

import (
	"testing"

	"github.com/quitrent/quitrent/examples/adapters/internal/adaptertest"
)

func TestM6_ACredentialOpensItsAccountAsFarAsThatMayGo(t *testing.T) {
	adaptertest.M6(t, server, adaptertest.HTTP)
}

func TestM14_AFailureCostsNothing(t *testing.T) { adaptertest.Charged(t, server) }
