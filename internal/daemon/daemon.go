// Package daemon starts a server for a test run: a process that dies with this
// one, however this one ends.
package daemon

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a server that has been started.
type Process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts cmd. It is sent the signal when this process ends (on Linux; on
// other systems it outlives a process that does not call Stop).
func Start(cmd *exec.Cmd, signal syscall.Signal) (*Process, error) {
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	setDeathSignal(cmd, signal)
	started := make(chan error)
	go func() {
		// The kernel sends the signal when the thread that started the child
		// ends, not the process. Go ends threads at times (when a goroutine
		// locked to one returns), so this goroutine keeps its own until the
		// child has gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Exited is closed when the server has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Pid is the server's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stop sends the signal and waits for the end.
func (p *Process) Stop(signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal)
	<-p.exited
}
