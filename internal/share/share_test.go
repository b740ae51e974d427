package share

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"muster/internal/client"

	"pgregory.net/rapid"
)

func named(name string) client.Client { return client.Client{Name: name} }

// take takes an amount and returns it when it is evicted.
func take(p *Pool, c client.Client, amount int64) (h *Holding, err error) {
	h, err = p.Take(c, amount, func() { h.Return() })
	return h, err
}

// TestShares lets 64 clients take all that they can get, and checks what a further client gets.
func TestShares(t *testing.T) {
	for _, perClient := range []int64{0, 100} {
		p := New(1000, perClient)
		for n := range 64 {
			for range 1000 {
				if _, err := take(p, named(fmt.Sprint(n)), 1); err != nil {
					break
				}
			}
		}
		if p.Used() != 1000 {
			t.Errorf("limit %d: %d are used", perClient, p.Used())
		}
		got := 0
		for range 1000 {
			if _, err := take(p, named("further"), 1); err != nil {
				break
			}
			got++
		}
		if got < 1000/65 || p.Used() != 1000 {
			t.Errorf("limit %d: a further client got %d; %d are used", perClient, got, p.Used())
		}
	}
}

// TestLimits checks the limits of a client and of a /48, and amounts beyond them.
func TestLimits(t *testing.T) {
	p, taken := New(1000, 10), 0
	for n := range 20 {
		for range 11 {
			if _, err := take(p, client.Client{Name: fmt.Sprint(n), Wider: "w"}, 1); err == nil {
				taken++
			} else if !errors.Is(err, ErrLimit) {
				t.Error(err)
			}
		}
	}
	if taken != 40 {
		t.Errorf("20 clients of a network got %d, want 40", taken)
	}
	large, err := take(p, named("a"), 1<<40)
	if err != nil || p.Used() != 50 {
		t.Errorf("an amount beyond the limit: %v, %d used", err, p.Used())
	}
	if _, err := take(p, named("a"), 1<<40); !errors.Is(err, ErrLimit) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := p.Take(client.Client{}, 100, func() {}); err != nil || p.Used() != 150 || p.Largest() != 10 {
		t.Errorf("%v; %d used, by one client at most %d, want 150 and 10", err, p.Used(), p.Largest())
	}
	large.Return()
	large.Return()
	if p.Used() != 140 || p.Largest() != 10 {
		t.Errorf("%d used, by one client at most %d", p.Used(), p.Largest())
	}
	if _, err := take(p, client.Client{}, 860); err != nil {
		t.Errorf("the program itself: %v", err)
	}
	if _, err := take(p, client.Client{}, 41); !errors.Is(err, ErrFull) {
		t.Errorf("the program itself, beyond the total: %v", err)
	}
}

// TestEviction checks what is evicted, and for which client.
func TestEviction(t *testing.T) {
	p := New(6, 0)
	var evicted []string
	hold := func(c, name string, idle bool) error {
		var h *Holding
		h, err := p.Take(named(c), 1, func() { evicted = append(evicted, name); h.Return() })
		if err == nil {
			h.SetIdle(idle)
		}
		return err
	}
	for n := range 3 {
		_ = hold("a", fmt.Sprint("a", n), n < 2)
	}
	for n := range 2 {
		_ = hold("b", fmt.Sprint("b", n), false)
	}
	_ = hold("c", "c0", true)
	for _, step := range []struct {
		client, evicted string
		err             error
	}{
		{"d", "a0", nil},   // the oldest idle one of the client with most idle ones
		{"d", "a1", nil},   // a and c have an idle one: the older one
		{"d", "c0", nil},   // an idle one is taken for a client that holds more, if all of it is in use
		{"e", "d2", nil},   // d has three, e would have one: the newest
		{"e", "", ErrFull}, // b and d have two, e would have as many
		{"f", "?1", nil},   // of b or d, the newest
		{"d2", "?1", nil},  // of the other
		{"g", "", ErrFull}, // every client has one
	} {
		evicted = nil
		err := hold(step.client, step.client+fmt.Sprint(p.names[step.client]), false)
		got := fmt.Sprint(evicted)
		if step.evicted == "?1" && (got == "[b1]" || got == "[d1]") {
			got = "[?1]"
		}
		want := fmt.Sprint(evicted[:0])
		if step.evicted != "" {
			want = "[" + step.evicted + "]"
		}
		if got != want || !errors.Is(err, step.err) {
			t.Errorf("%s: evicted %v, %v; want %s, %v", step.client, evicted, err, want, step.err)
		}
	}
	if p.EvictIdle() {
		t.Error("something is idle")
	}
	h, _ := take(p, named("a"), 1)
	if h != nil {
		t.Fatal("the pool is not full")
	}
}

// TestNoUselessEviction checks that nothing is evicted if that is not enough, and that what has been
// asked to leave counts.
func TestNoUselessEviction(t *testing.T) {
	p := New(10, 0)
	asked := 0
	var all []*Holding
	for range 5 {
		h, err := p.Take(named("a"), 2, func() { asked++ }) // does not leave at once
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}
	if _, err := p.Take(named("b"), 9, func() {}); !errors.Is(err, ErrFull) || asked != 0 {
		t.Errorf("%v, %d asked", err, asked)
	}
	for range 3 {
		if _, err := p.Take(named("b"), 3, func() {}); !errors.Is(err, ErrFull) || asked != 2 {
			t.Errorf("%v, %d asked", err, asked)
		}
	}
	for _, h := range all[3:] {
		h.Return()
	}
	if _, err := p.Take(named("b"), 3, func() {}); err != nil {
		t.Error(err)
	}
}

// TestPoolModel takes and returns at random. The total is never exceeded, no client exceeds its
// limit, and a client is refused only if its limit says so or if no other client holds more.
func TestPoolModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total, perClient := rapid.Int64Range(1, 30).Draw(t, "total"), rapid.Int64Range(0, 12).Draw(t, "limit")
		p := New(total, perClient)
		held := map[*Holding]string{}
		sum := func(name string) (n int64) {
			for h, of := range held {
				if of == name || name == "" {
					n += h.amount
				}
			}
			return n
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			name := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "client")
			if rapid.IntRange(0, 3).Draw(t, "back") == 0 {
				for _, h := range p.holders[named(name)].list() {
					h.Return()
					delete(held, h)
					break
				}
				continue
			}
			own, used := sum(name), sum("")
			var most int64
			for _, other := range []string{"a", "b", "c", "d"} {
				most = max(most, sum(other))
			}
			var h *Holding
			h, err := p.Take(named(name), 1, func() { h.Return() })
			h2 := h
			for one := range held {
				if one.returned {
					delete(held, one)
				}
			}
			switch {
			case err == nil:
				held[h2] = name
				h2.evict = func() { h2.Return() }
				h2.SetIdle(rapid.Bool().Draw(t, "idle"))
			case errors.Is(err, ErrLimit) && perClient > 0 && own == perClient:
			case errors.Is(err, ErrFull) && used == total && most <= own+1:
			default:
				t.Fatalf("%s holds %d of %d (%d), the most is %d: %v", name, own, used, total, most, err)
			}
			if p.Used() != sum("") || p.Used() > total || perClient > 0 && sum(name) > perClient {
				t.Fatalf("%d used, %d held, %s has %d", p.Used(), sum(""), name, sum(name))
			}
		}
		for h := range held {
			h.Return()
		}
		if p.Used() != 0 || len(p.names) != 0 || len(p.holders) != 0 || p.leaving != 0 {
			t.Fatalf("%d used by %v at the end, %d leave", p.Used(), p.names, p.leaving)
		}
	})
}

// TestChooseModel checks each choice against the rule: no other client that still has a holding to
// give has a greater weight, and of the holdings of the client it is the first in the order.
func TestChooseModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := New(1<<20, 0)
		for range rapid.IntRange(1, 60).Draw(t, "holdings") {
			c := named(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "client"))
			h, err := p.Take(c, rapid.Int64Range(1, 5).Draw(t, "amount"), func() {})
			if err != nil {
				t.Fatal(err)
			}
			h.SetIdle(rapid.Bool().Draw(t, "idle"))
			h.leaving = rapid.IntRange(0, 4).Draw(t, "leaves") == 0
		}
		name := rapid.SampledFrom([]string{"idle", "newest"}).Draw(t, "order")
		available := func(h *holder, without []*Holding) (list []*Holding) {
			list = h.idle
			if name == "newest" {
				list = slices.Clone(h.all)
				slices.Reverse(list)
			}
			return slices.DeleteFunc(slices.Clone(list), func(one *Holding) bool { return one.leaving || slices.Contains(without, one) })
		}
		before := map[*holder][]*Holding{}
		for _, h := range p.holders {
			before[h] = available(h, nil)
		}
		missing, least := rapid.Int64Range(0, 100).Draw(t, "missing"), float64(rapid.IntRange(0, 30).Draw(t, "least"))
		chosen, still := p.choose(missing, least, map[string]order{"idle": oldestIdle, "newest": newest}[name], p.weight)

		weights := map[*holder]float64{}
		for h := range before {
			weights[h] = p.weight(h.client)
		}
		greatest := func() float64 {
			most := -1.0
			for h, list := range before {
				if len(list) > 0 && weights[h] >= least {
					most = max(most, weights[h])
				}
			}
			return most
		}
		for _, one := range chosen {
			of := one.holder
			if missing <= 0 || weights[of] != greatest() || before[of][0] != one || !one.leaving {
				t.Fatalf("%d missing: chose of %s with %v, the greatest is %v", missing, of.client.Name, weights[of], greatest())
			}
			before[of], weights[of], missing = before[of][1:], weights[of]-float64(one.amount), missing-one.amount
		}
		if still != missing || missing > 0 && greatest() >= 0 {
			t.Fatalf("%d missing, %d returned, the greatest is %v", missing, still, greatest())
		}
	})
}

// list returns the holdings of a holder, none of nil.
func (h *holder) list() []*Holding {
	if h == nil {
		return nil
	}
	return h.all
}

// TestWaiting checks the order of waiting clients: the one that would hold least goes first.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(10, 8)
		var held []*Holding
		for range 6 {
			h, _ := p.Take(named("greedy"), 1, func() {})
			held = append(held, h)
		}
		h, _ := p.Take(named("modest"), 2, func() {})
		held = append(held, h)
		rest, _ := p.Take(client.Client{}, 2, func() {})
		var served []string
		var mu sync.Mutex // between goroutines that are served at once
		wait := func(ctx context.Context, c string, amount int64) {
			go func() {
				h, err := p.Wait(ctx, named(c), amount, func() {})
				mu.Lock()
				defer mu.Unlock()
				served = append(served, fmt.Sprint(c, " ", amount, " ", err == nil))
				if err == nil {
					held = append(held, h)
				}
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		soon, give := context.WithTimeout(t.Context(), time.Second)
		defer give()
		wait(ctx, "greedy", 1)
		wait(ctx, "greedy", 3)
		wait(soon, "modest", 3)
		wait(ctx, "modest", 1)
		rest.Return()
		synctest.Wait()
		if got := fmt.Sprint(served); got != "[modest 1 true]" { // 2 are free: 1 for modest, which waits for 3 more
			t.Errorf("served %s", got)
		}
		if _, err := p.Take(named("greedy"), 1, func() {}); !errors.Is(err, ErrFull) {
			t.Errorf("greedy takes what modest waits for: %v", err)
		}
		if h, err := p.Take(named("new"), 1, func() {}); err != nil {
			t.Errorf("a client that has nothing: %v", err)
		} else {
			h.Return()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := fmt.Sprint(served); got != "[modest 1 true modest 3 false greedy 1 true]" {
			t.Errorf("served %s, after the modest client gave up", got)
		}
		for len(held) > 0 {
			first := held[0]
			held = held[1:]
			first.Return()
			synctest.Wait()
		}
		if p.Used() != 0 || len(p.waiting) != 0 || len(served) != 4 {
			t.Errorf("%d used, %d wait, served %v", p.Used(), len(p.waiting), served)
		}
	})
}

// TestAccount checks that reservations wait for a while, and that an account returns everything.
func TestAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(50, 0)
		ignore := func() {}
		ctx, first := Open(t.Context(), p, named("a"), time.Second, ignore)
		for _, amount := range []int64{20, 30} {
			if err := Reserve(ctx, amount); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		ctx, second := Open(t.Context(), p, named("a"), time.Second, ignore)
		if err := Reserve(ctx, 10); !errors.Is(err, ErrFull) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if err := Reserve(gone, 10); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that has gone: %v", err)
		}
		time.AfterFunc(time.Second/2, first.Close)
		if err := Reserve(ctx, 10); err != nil || p.Used() != 10 {
			t.Errorf("%v, %d used", err, p.Used())
		}
		second.Close()
		second.Close()
		if p.Used() != 0 {
			t.Errorf("%d used", p.Used())
		}
		if err := Reserve(t.Context(), 1<<40); err != nil {
			t.Errorf("without an account: %v", err)
		}
	})
}

// BenchmarkEviction takes from a full pool, which 64 clients hold in 1,000 holdings each, a small
// amount and one that needs many evictions. None of the evicted leaves.
func BenchmarkEviction(b *testing.B) {
	const clients, each = 64, 1000
	for _, idle := range []bool{true, false} {
		for _, amount := range []int64{1, 500} {
			b.Run(fmt.Sprintf("idle=%v/amount=%d", idle, amount), func(b *testing.B) {
				p := New(clients*each, 0)
				for n := range clients * each {
					h, err := p.Take(named(fmt.Sprint(n%clients)), 1, func() {})
					if err != nil {
						b.Fatal(err)
					}
					h.SetIdle(idle)
				}
				for b.Loop() {
					if _, victims, _ := p.try(named("further"), 0, amount, nil); len(victims) != int(amount) {
						b.Fatalf("%d are evicted", len(victims))
					} else {
						p.stay(victims)
					}
				}
			})
		}
	}
}

// TestTakeWithin: a limit of its own replaces that of the pool for a client, above or below it.
func TestTakeWithin(t *testing.T) {
	p := New(100, 2)
	a, b := client.Client{Name: "a"}, client.Client{Name: "b"}
	for n := range 5 {
		if _, err := p.TakeWithin(a, 4, 1, func() {}); errors.Is(err, ErrLimit) != (n >= 4) {
			t.Errorf("%d with a limit of 4: %v", n+1, err)
		}
		if _, err := p.TakeWithin(b, 1, 1, func() {}); errors.Is(err, ErrLimit) != (n >= 1) {
			t.Errorf("%d with a limit of 1: %v", n+1, err)
		}
	}
	if _, err := p.Take(b, 1, func() {}); err != nil {
		t.Errorf("with the limit of the pool: %v", err)
	}
	if _, err := p.TakeWithin(b, 0, 50, func() {}); err != nil {
		t.Errorf("without a limit: %v", err)
	}
}
