package job

import "time"

// The defaults of [Config].
const (
	DefaultWorkers    = 2
	DefaultLease      = 5 * time.Second
	DefaultHeartbeat  = 200 * time.Millisecond
	DefaultTick       = time.Second
	DefaultAttempts   = 3
	DefaultBackoff    = time.Second
	DefaultStallAfter = 10 * time.Minute
	DefaultRetention  = 24 * time.Hour
)
