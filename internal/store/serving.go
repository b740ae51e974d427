package store

import "context"

// Serving marks a directory as served by a process.
type Serving interface {
	// MarkServed marks the directory as served by this process, until the mark is closed
	// or the process ends. It returns an error while another process rebuilds the index.
	MarkServed(ctx context.Context) (ServeMark, error)
	// EndClaims ends the leases of a server that died, if no other server can hold
	// claims, and returns how many it ended. It is called before the server claims work.
	// Where several servers may run, it does nothing: the leases end by themselves.
	EndClaims(ctx context.Context) (int64, error)
}

// ServeMark is the mark of a process that serves a directory.
type ServeMark interface {
	// Watch keeps the mark in place until ctx ends, and then returns nil. After an error
	// the process must stop serving the directory.
	Watch(ctx context.Context) error
	// Close removes the mark. It is called after Watch has returned.
	Close() error
}
