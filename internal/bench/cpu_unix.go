//go:build unix

package main

import (
	"syscall"
	"time"
)

// spent is the time that processors have worked for this process so far, its garbage
// collector among it.
func spent() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return elapsed()
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
