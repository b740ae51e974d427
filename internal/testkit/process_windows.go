package testkit

import (
	"errors"
	"fmt"
)

var errNoStop = fmt.Errorf("stop a process: Windows has no SIGSTOP: run this test on Linux or macOS: %w", errors.ErrUnsupported)

// Stop returns an error that is [errors.ErrUnsupported].
func (r *Process) Stop() error { return errNoStop }

// Continue returns an error that is [errors.ErrUnsupported].
func (r *Process) Continue() error { return errNoStop }
