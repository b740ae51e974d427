package share

import (
	"context"
	"sync"
	"time"

	"muster/internal/client"
)

// Account is what one request has taken from a pool. Create it with [Open].
type Account struct {
	pool   *Pool
	client client.Client
	wait   time.Duration
	evict  func()

	mu    sync.Mutex
	taken []*Holding
}

type accountKey struct{}

// Open returns a context with an account of a client, from which [Reserve] takes. A reservation
// waits for up to wait. evict is called, perhaps more than once, when the request should end because
// another client is to have what it holds. Close the account when the request has been answered.
func Open(ctx context.Context, pool *Pool, c client.Client, wait time.Duration, evict func()) (context.Context, *Account) {
	a := &Account{pool: pool, client: c, wait: wait, evict: evict}
	return context.WithValue(ctx, accountKey{}, a), a
}

// Reserve takes an amount for the request of ctx until its account is closed. It returns what
// [Pool.Wait] returns. Without an account in ctx there is no limit.
func Reserve(ctx context.Context, amount int64) error {
	a, ok := ctx.Value(accountKey{}).(*Account)
	if !ok {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, a.wait)
	defer cancel()
	h, err := a.pool.Wait(waiting, a.client, amount, a.evict)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken = append(a.taken, h)
	return nil
}

// Close returns everything.
func (a *Account) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, h := range a.taken {
		h.Return()
	}
	a.taken = nil
}
