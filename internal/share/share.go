// Package share divides what a server has, such as memory or connections, among its clients.
//
// Each client has a limit of its own. When all clients together use up the total, what the client
// with the most holds is taken from it for a client that holds less. So no number of greedy clients
// can keep out a modest one.
//
// A [Pool] shares amounts that requests hold while they run. A [Queue] shares turns: how many calls
// run at once, and in which order those that wait begin.
package share

import (
	"container/heap"
	"errors"
	"math"
	"slices"
	"sync"

	"muster/internal/client"
)

// The reasons why a pool gives nothing.
var (
	// ErrLimit reports that the client has reached its own limit.
	ErrLimit = errors.New("the client uses as much as one client may: wait until it uses less")
	// ErrFull reports that all clients together use the total.
	ErrFull = errors.New("the server has no more to give: try again later")
)

// Pool is an amount of something that clients take and return. Safe for concurrent use.
type Pool struct {
	total, perClient int64

	mu      sync.Mutex
	used    int64
	leaving int64 // part of used whose holders were asked to return it
	names   map[string]int64
	idle    map[string]int64 // of names, the idle part
	idled   uint64           // how often a holding has become idle
	holders map[client.Client]*holder
	waiting []*waiter // in the order in which they came
}

// holder is a client with what it holds.
type holder struct {
	client client.Client
	all    []*Holding // in the order in which they were taken
	idle   []*Holding // those that are idle, in the order in which they became so
}

// Holding is what a client has taken at once.
type Holding struct {
	pool   *Pool
	holder *holder
	amount int64
	evict  func()
	isIdle bool
	// idleSince orders the holdings that are idle by when they became so.
	idleSince uint64
	leaving   bool
	returned  bool
}

// New returns a pool with a total for all clients, and a limit for each. 0 means no limit for
// one client.
func New(total, perClient int64) *Pool {
	return &Pool{total: total, perClient: perClient, names: map[string]int64{}, idle: map[string]int64{}, holders: map[client.Client]*holder{}}
}

// Take takes an amount for a client. It returns [ErrLimit] or [ErrFull] if the client cannot have
// it. An amount beyond a limit counts as that limit. The zero client has no
// limit besides the total, and is evicted last.
//
// The pool calls evict, at most once, when another client is to have the amount; the holder should
// then return it soon. The pool evicts what is idle first.
func (p *Pool) Take(c client.Client, amount int64, evict func()) (*Holding, error) {
	return p.TakeWithin(c, p.perClient, amount, evict)
}

// TakeWithin is [Pool.Take] for a client whose own limit is not that of the pool. 0 means no limit.
func (p *Pool) TakeWithin(c client.Client, limit, amount int64, evict func()) (*Holding, error) {
	h, victims, err := p.try(c, limit, amount, evict)
	if len(victims) == 0 {
		return h, err
	}
	for _, v := range victims {
		v.evict()
	}
	h, _, err = p.try(c, limit, amount, evict)
	return h, err
}

// try takes an amount, or returns the holdings whose eviction would make it available.
func (p *Pool) try(c client.Client, limit, amount int64, evict func()) (*Holding, []*Holding, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	amount = p.bounded(c, limit, amount)
	if !p.allows(c, limit, amount) {
		return nil, nil, ErrLimit
	}
	if p.used+p.promised(c, amount)+amount > p.total {
		return nil, p.victims(c, amount), ErrFull
	}
	return p.give(c, amount, evict), nil, nil
}

// bounded returns an amount, or the limit beyond which it does not count.
func (p *Pool) bounded(c client.Client, limit, amount int64) int64 {
	amount = min(amount, p.total)
	if applies(limit, c) {
		amount = min(amount, limit)
	}
	return amount
}

// applies reports whether a client has the limit.
func applies(limit int64, c client.Client) bool { return limit > 0 && c != (client.Client{}) }

// allows reports whether the limits of a client allow an amount. The caller holds mu.
func (p *Pool) allows(c client.Client, limit, amount int64) bool {
	return !applies(limit, c) || !slices.ContainsFunc(c.Allowances(), func(a client.Allowance) bool {
		return p.names[a.Name]+amount > int64(a.Factor)*limit
	})
}

// give gives an amount to a client. The caller holds mu.
func (p *Pool) give(c client.Client, amount int64, evict func()) *Holding {
	owner := p.holders[c]
	if owner == nil {
		owner = &holder{client: c}
		p.holders[c] = owner
	}
	h := &Holding{pool: p, holder: owner, amount: amount, evict: evict}
	owner.all = append(owner.all, h)
	p.count(h, amount)
	return h
}

// victims chooses what to evict for a client that takes an amount, and marks it as leaving. It
// chooses nothing if that is not enough. The caller holds mu.
func (p *Pool) victims(c client.Client, amount int64) (victims []*Holding) {
	missing := p.used - p.leaving + p.promised(c, amount) + amount - p.total
	// An idle holding is worth less than a new one, unless its client has fewer idle ones.
	victims, missing = p.choose(missing, p.idleWeight(c), oldestIdle, p.idleWeight)
	// In use is taken only from a client that holds more than this one would then.
	inUse, missing := p.choose(missing, math.Nextafter(p.weightWith(c, amount), math.Inf(1)), newest, p.weight)
	victims = append(victims, inUse...)
	if missing > 0 {
		p.stay(victims)
		return nil
	}
	return victims
}

// stay takes back that holdings leave. The caller holds mu.
func (p *Pool) stay(holdings []*Holding) {
	for _, h := range holdings {
		h.leaving = false
		p.leaving -= h.amount
	}
}

// choose marks holdings as leaving until nothing is missing, and returns them with what is still
// missing. The next one is always that of the client with the greatest weight, without what was
// chosen of it, while that is at least least. The caller holds mu.
func (p *Pool) choose(missing int64, least float64, in order, weigh func(client.Client) float64) (chosen []*Holding, still int64) {
	var from greatestFirst
	for _, h := range p.holders {
		weight, next := weigh(h.client), in(h)
		if first := next(); first != nil && weight >= least {
			from = append(from, &candidate{weight, next, first})
		}
	}
	heap.Init(&from)
	for missing > 0 && len(from) > 0 && from[0].weight >= least {
		one := from[0].first
		one.leaving = true
		p.leaving += one.amount
		missing -= one.amount
		chosen = append(chosen, one)
		from[0].weight -= float64(one.amount)
		if from[0].first = from[0].next(); from[0].first == nil {
			heap.Pop(&from)
		} else {
			heap.Fix(&from, 0)
		}
	}
	return chosen, missing
}

// weight returns how much a client holds. The caller holds mu.
func (p *Pool) weight(c client.Client) float64 { return weightIn(p.names, c) }

// idleWeight returns how much of what a client holds is idle. The caller holds mu.
func (p *Pool) idleWeight(c client.Client) float64 { return weightIn(p.idle, c) }

func weightIn(names map[string]int64, c client.Client) (weight float64) {
	for _, a := range c.Allowances() {
		weight = max(weight, float64(names[a.Name])/float64(a.Factor))
	}
	return weight
}

// add adds an amount to those of the names of a client.
func add(names map[string]int64, c client.Client, amount int64) {
	for _, a := range c.Allowances() {
		if names[a.Name] += amount; names[a.Name] == 0 {
			delete(names, a.Name)
		}
	}
}

// count adds an amount to what is used. The caller holds mu.
func (p *Pool) count(h *Holding, amount int64) {
	p.used += amount
	add(p.names, h.holder.client, amount)
}

// Return gives the holding back. Further calls do nothing.
func (h *Holding) Return() {
	p := h.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.returned {
		return
	}
	h.returned = true
	h.setIdle(false)
	h.holder.all = without(h.holder.all, h)
	p.count(h, -h.amount)
	if h.leaving {
		p.leaving -= h.amount
	}
	if len(h.holder.all) == 0 {
		delete(p.holders, h.holder.client)
	}
	p.serve()
}

// SetIdle marks the holding as idle, or as in use.
func (h *Holding) SetIdle(idle bool) {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	if !h.returned {
		h.setIdle(idle)
	}
}

func (h *Holding) setIdle(idle bool) {
	if idle == h.isIdle {
		return
	}
	h.isIdle = idle
	if idle {
		h.pool.idled++
		h.idleSince = h.pool.idled
		h.holder.idle = append(h.holder.idle, h)
		add(h.pool.idle, h.holder.client, h.amount)
	} else {
		h.holder.idle = without(h.holder.idle, h)
		add(h.pool.idle, h.holder.client, -h.amount)
	}
}

func without[T comparable](list []T, one T) []T {
	return slices.DeleteFunc(list, func(other T) bool { return other == one })
}

// EvictIdle evicts an idle holding of the client with most of them, and reports whether there was one.
func (p *Pool) EvictIdle() bool {
	p.mu.Lock()
	victims, _ := p.choose(1, 0, oldestIdle, p.idleWeight)
	p.mu.Unlock()
	for _, v := range victims {
		v.evict()
	}
	return len(victims) > 0
}

// Used returns how much all clients hold.
func (p *Pool) Used() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// Largest returns how much the client with the most holds. The zero client does not count: its
// amount is that of many clients, such as those of a proxy.
func (p *Pool) Largest() (most int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.holders {
		if c != (client.Client{}) {
			most = max(most, p.names[c.Name])
		}
	}
	return most
}
