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

// Start starts a command without waiting for it. With a point ("name" or "name@n") it is killed
// at that failpoint; with "name=stop" it is suspended there.
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

// PID returns the process id.
func (r *Process) PID() int { return r.cmd.Process.Pid }

// Log returns the output of the process so far.
func (r *Process) Log() string { return r.log.String() }

// Exited returns a channel that is closed when the process has exited.
func (r *Process) Exited() <-chan struct{} { return r.exit }

// ExitCode waits for the process and returns its exit code, or -1 if a signal ended it.
func (r *Process) ExitCode() int {
	<-r.exit
	return r.cmd.ProcessState.ExitCode()
}

// Killed waits for the process and reports whether SIGKILL ended it, by [Process.Kill] or at its
// failpoint.
func (r *Process) Killed() bool {
	<-r.exit
	status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signal() == syscall.SIGKILL
}

// Kill sends SIGKILL and waits for the process.
func (r *Process) Kill() {
	_ = r.cmd.Process.Kill()
	<-r.exit
}

// WaitStopped waits until the process is suspended, by [Process.Stop] or at a failpoint. It reads
// /proc, so it works only on Linux.
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
	return fmt.Errorf("the process is not suspended:\n%s", r.Log())
}

// Terminate sends SIGTERM and waits for the process. It returns an error unless the exit code
// is 0.
func (r *Process) Terminate() error {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-r.exit:
	case <-time.After(Patience):
		return fmt.Errorf("the process does not exit:\n%s", r.Log())
	}
	if code := r.ExitCode(); code != 0 {
		return fmt.Errorf("the process exited with code %d:\n%s", code, r.Log())
	}
	return nil
}

// WaitKilled waits until the process is killed at its failpoint.
func (r *Process) WaitKilled() error {
	select {
	case <-r.exit:
	case <-time.After(Patience):
		return fmt.Errorf("the failpoint was not reached:\n%s", r.Log())
	}
	if !r.Killed() {
		return fmt.Errorf("the process ended with %v, not at its failpoint:\n%s", r.cmd.ProcessState, r.Log())
	}
	return nil
}
