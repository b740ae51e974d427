package share

import (
	"context"

	"muster/internal/client"
)

// waiter is a client that waits for an amount.
type waiter struct {
	client client.Client
	amount int64
	evict  func()
	given  *Holding      // nil until the pool gives it
	ready  chan struct{} // is closed then
}

// Wait is [Pool.Take], but waits until the client can have the amount or ctx ends. Then it returns
// what Take would return. Of the clients that wait, the one that would hold least is served first,
// and no client that would hold more is served before it. So what was evicted for a modest client
// is not taken by a greedy one.
func (p *Pool) Wait(ctx context.Context, c client.Client, amount int64, evict func()) (*Holding, error) {
	h, victims, err := p.try(c, p.perClient, amount, evict)
	if err == nil {
		return h, nil
	}
	w := p.enqueue(c, amount, evict)
	for _, v := range victims {
		v.evict()
	}
	select {
	case <-w.ready:
		return w.given, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.given != nil {
		return w.given, nil
	}
	p.waiting = without(p.waiting, w)
	p.serve() // for those that were behind it
	return nil, err
}

// enqueue adds a waiter.
func (p *Pool) enqueue(c client.Client, amount int64, evict func()) *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &waiter{client: c, amount: p.bounded(c, p.perClient, amount), evict: evict, ready: make(chan struct{})}
	p.waiting = append(p.waiting, w)
	p.serve() // something may have been returned in between
	return w
}

// serve gives to the waiters what is free. The caller holds mu.
func (p *Pool) serve() {
	for {
		w := p.next()
		if w == nil || p.used+w.amount > p.total {
			return
		}
		p.waiting = without(p.waiting, w)
		w.given = p.give(w.client, w.amount, w.evict)
		close(w.ready)
	}
}

// next returns the waiter whose client would hold least, of those within their limits; the first
// of several. The caller holds mu.
func (p *Pool) next() (next *waiter) {
	var least float64
	for _, w := range p.waiting {
		if weight := p.weightWith(w.client, w.amount); p.allows(w.client, p.perClient, w.amount) && (next == nil || weight < least) {
			next, least = w, weight
		}
	}
	return next
}

// promised returns what waiters are to have before a client takes an amount: those that would hold
// no more than it. The caller holds mu.
func (p *Pool) promised(c client.Client, amount int64) (all int64) {
	most := p.weightWith(c, amount)
	for _, w := range p.waiting {
		if p.weightWith(w.client, w.amount) <= most && p.allows(w.client, p.perClient, w.amount) {
			all += w.amount
		}
	}
	return all
}

// weightWith returns how much a client would hold with an amount. The caller holds mu.
func (p *Pool) weightWith(c client.Client, amount int64) float64 {
	return p.weight(c) + float64(amount)
}
