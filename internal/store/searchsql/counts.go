package searchsql

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// How many counts are remembered, and how long one is good for.
const (
	mostRemembered = 20_000
	goodFor        = 5 * time.Minute
)

// Counts remembers the counts that decide about orders of work, since popular values
// are asked for again and again and take longest to count. What is remembered may be
// out of date: that may cost time and never changes an answer. The zero value is
// ready. Safe for use by several goroutines.
type Counts struct {
	mu    sync.Mutex
	seed  maphash.Seed
	known map[uint64]counted
}

type counted struct {
	n     int64
	until time.Time
}

// through answers what is remembered, and asks count for the rest.
func (c *Counts) through(count Count) Count {
	if c == nil {
		return count
	}
	return func(ctx context.Context, s Statement) (int64, error) {
		key := c.key(s)
		if n, ok := c.recall(key); ok {
			return n, nil
		}
		n, err := count(ctx, s)
		if err == nil {
			c.remember(key, n)
		}
		return n, err
	}
}

// key is a hash: where two statements have the same one, only time is lost.
func (c *Counts) key(s Statement) uint64 {
	c.mu.Lock()
	if c.known == nil {
		c.seed, c.known = maphash.MakeSeed(), map[uint64]counted{}
	}
	seed := c.seed
	c.mu.Unlock()
	return maphash.String(seed, fmt.Sprint(s.SQL, s.Args))
}

func (c *Counts) recall(key uint64) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[key]
	return known.n, ok && time.Now().Before(known.until)
}

func (c *Counts) remember(key uint64, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= mostRemembered {
		clear(c.known)
	}
	c.known[key] = counted{n, time.Now().Add(goodFor)}
}
