//go:build !unix

package main

import "time"

// spent stands for the time that processors have worked for this process.
func spent() time.Duration { return elapsed() }
