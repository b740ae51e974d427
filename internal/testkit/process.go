package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"muster/internal/failpoint"
)

// Process is a running command of muster. Safe for use by several goroutines.
type Process struct {
	cmd  *exec.Cmd
	exit chan struct{}
	log  Log
}

// Start starts a command and does not wait for it. At the failpoint point ("name" or
// "name@n") the command dies as from kill -9, or stops if point is "name=stop".
func (p Program) Start(point string, args ...string) (*Process, error) {
	r := &Process{cmd: exec.Command(string(p), args...), exit: make(chan struct{})}
	if point != "" {
		if !strings.Contains(point, "=") {
			point += "=kill"
		}
		r.cmd.Env = append(os.Environ(), failpoint.Variable+"="+point)
	}
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = r.cmd.Wait()
		close(r.exit)
	}()
	return r, nil
}

// PID is the process id.
func (r *Process) PID() int { return r.cmd.Process.Pid }

// Log returns what the process has printed so far.
func (r *Process) Log() string { return r.log.String() }

// Exited is closed when the process is gone.
func (r *Process) Exited() <-chan struct{} { return r.exit }

// ExitCode is the code of a process that is gone, or -1 when a signal ended it.
func (r *Process) ExitCode() int {
	<-r.exit
	return r.cmd.ProcessState.ExitCode()
}

// Killed reports whether kill -9 ended the process, by [Process.Kill] or at its
// failpoint. It waits until the process is gone.
func (r *Process) Killed() bool {
	<-r.exit
	status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signal() == syscall.SIGKILL
}

// Kill ends the process as kill -9 does and waits until it is gone.
func (r *Process) Kill() {
	_ = r.cmd.Process.Kill()
	<-r.exit
}

// WaitStopped waits until the process has stopped, by [Process.Stop] or at a failpoint. It
// works on Linux only, since it reads /proc.
func (r *Process) WaitStopped() error {
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.PID()))
		if err != nil {
			return err
		}
		// pid (name) state …
		if _, rest, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(rest, "T") {
			return nil
		}
	}
	return fmt.Errorf("the process does not stop:\n%s", r.Log())
}

// Terminate asks the process to end and waits until it has ended by itself. A
// process that does not end with code 0 is an error.
func (r *Process) Terminate() error {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-r.exit:
	case <-time.After(Patience):
		return fmt.Errorf("the process does not end:\n%s", r.Log())
	}
	if code := r.ExitCode(); code != 0 {
		return fmt.Errorf("the process ended with code %d:\n%s", code, r.Log())
	}
	return nil
}

// WaitKilled waits until the process has died at its failpoint.
func (r *Process) WaitKilled() error {
	select {
	case <-r.exit:
	case <-time.After(Patience):
		return fmt.Errorf("the failpoint was never reached:\n%s", r.Log())
	}
	if !r.Killed() {
		return fmt.Errorf("the process ended with %v, not at its failpoint:\n%s", r.cmd.ProcessState, r.Log())
	}
	return nil
}
