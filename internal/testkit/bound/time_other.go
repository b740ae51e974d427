//go:build !linux

package bound

import "time"

// used returns the time that has passed so far, since no usage of a thread is known.
func used() time.Duration { return sinceStart() }
