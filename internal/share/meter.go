package share

import (
	"context"
	"sync/atomic"
	"time"
)

// meterKey is the key of the meter in a context.
type meterKey struct{}

// WithMeter returns a context in which waits for others are added up, such as for a lock. Work is
// counted for the client that it is done for, and those waits are not its work.
func WithMeter(ctx context.Context) context.Context {
	return context.WithValue(ctx, meterKey{}, new(atomic.Int64))
}

// Waited adds the time since start to the meter of ctx, if it has one. Safe for concurrent use.
func Waited(ctx context.Context, start time.Time) {
	if m, ok := ctx.Value(meterKey{}).(*atomic.Int64); ok {
		m.Add(int64(time.Since(start)))
	}
}

// TakeWaited returns the time on the meter of ctx and resets it. Without a meter it is 0.
func TakeWaited(ctx context.Context) time.Duration {
	m, ok := ctx.Value(meterKey{}).(*atomic.Int64)
	if !ok {
		return 0
	}
	return time.Duration(m.Swap(0))
}
