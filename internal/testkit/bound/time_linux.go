package bound

import (
	"time"

	"golang.org/x/sys/unix"
)

// used returns the time that this thread has used so far.
func used() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return sinceStart()
	}
	return time.Duration(t.Nano())
}
