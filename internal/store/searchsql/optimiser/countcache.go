package optimiser

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"muster/internal/store/searchsql/sqlwriter"
)

const (
	maxCached = 20_000
	cacheTTL  = 5 * time.Minute
)

// CountCache caches the counts of the optimiser. Common values occur in many queries and
// take longest to count. A cached count may be outdated: that may cost time, but never
// changes a result. The zero value is an empty cache. A CountCache is safe for
// concurrent use.
type CountCache struct {
	mu      sync.Mutex
	seed    maphash.Seed
	entries map[uint64]cachedCount
}

type cachedCount struct {
	n       int64
	expires time.Time
}

// Wrap returns a CountFunc that returns cached counts and calls count for all others.
// A nil cache returns count itself.
func (c *CountCache) Wrap(count CountFunc) CountFunc {
	if c == nil {
		return count
	}
	return func(ctx context.Context, s sqlwriter.Statement) (int64, error) {
		key := c.key(s)
		if n, ok := c.get(key); ok {
			return n, nil
		}
		n, err := count(ctx, s)
		if err == nil {
			c.put(key, n)
		}
		return n, err
	}
}

// key returns a hash of the statement. A collision costs time only.
func (c *CountCache) key(s sqlwriter.Statement) uint64 {
	c.mu.Lock()
	if c.entries == nil {
		c.seed, c.entries = maphash.MakeSeed(), map[uint64]cachedCount{}
	}
	seed := c.seed
	c.mu.Unlock()
	return maphash.String(seed, fmt.Sprint(s.SQL, s.Args))
}

func (c *CountCache) get(key uint64) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.entries[key]
	return entry.n, ok && time.Now().Before(entry.expires)
}

func (c *CountCache) put(key uint64, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= maxCached {
		clear(c.entries)
	}
	c.entries[key] = cachedCount{n, time.Now().Add(cacheTTL)}
}
