//go:build !linux

package daemon

import (
	"os/exec"
	"syscall"
)

func setDeathSignal(*exec.Cmd, syscall.Signal) {}
