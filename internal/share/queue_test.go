package share

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"muster/internal/client"
)

// TestFullQueue fills a queue: those of the client with the most waiting are refused.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(1, 1, 10)
		if _, err := q.Enter(t.Context(), client.Client{}); err != nil {
			t.Fatal(err)
		}
		refused := map[string]int{}
		var mu sync.Mutex
		ctx, cancel := context.WithCancel(t.Context())
		enter := func(c client.Client) {
			go func() {
				if _, err := q.Enter(ctx, c); errors.Is(err, ErrFull) {
					mu.Lock()
					defer mu.Unlock()
					refused[c.Name]++
				}
			}()
			synctest.Wait()
		}
		for range 30 {
			enter(client.Client{Name: "many"})
		}
		for n := range 9 {
			enter(client.Client{Name: fmt.Sprint("few-", n)})
		}
		if refused["many"] != 29 || len(refused) != 1 {
			t.Errorf("refused were %v", refused)
		}
		// The addresses of a /48 count together, with four times the allowance.
		for n := range 5 {
			enter(client.Client{Name: fmt.Sprint("network-", n), Wider: "wider"})
		}
		if refused["many"] != 29 || refused["network-4"] != 1 {
			t.Errorf("refused were %v", refused)
		}
		cancel()
		synctest.Wait()
	})
}

// TestOrderOfClients checks the order in which a place is given.
func TestOrderOfClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(3, 2, 100)
		var mu sync.Mutex
		var order []string
		// hold takes a place for a time.
		hold := func(c client.Client, d time.Duration) {
			go func() {
				p, err := q.Enter(t.Context(), c)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, c.Name)
				mu.Unlock()
				time.Sleep(d)
				p.Leave(false)
			}()
			synctest.Wait()
		}
		// Of the addresses of one /48, the allowance is that of four clients, of which each may
		// have two places.
		hold(client.Client{Name: "used"}, 10*time.Second)
		time.Sleep(time.Minute)
		hold(client.Client{Name: "a"}, 4200*time.Millisecond)
		hold(client.Client{Name: "a"}, 2*time.Second)
		hold(client.Client{Name: "a"}, time.Second) // has two places already
		hold(client.Client{Name: "b"}, 3500*time.Millisecond)
		hold(client.Client{Name: "used"}, time.Second)
		hold(client.Client{Name: "new"}, time.Second)
		hold(client.Client{Name: "new"}, time.Second)
		hold(client.Client{}, time.Second)
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Join(order, " "); got != "used a a b  new used new a" {
			t.Errorf("the order is %q", got)
		}
		time.Sleep(20 * HalfLife)
		p, err := q.Enter(t.Context(), client.Client{Name: "last"})
		if err != nil {
			t.Fatal(err)
		}
		p.Leave(false)
		if len(q.usage) != 0 {
			t.Errorf("%d clients are remembered", len(q.usage))
		}
	})
}

// TestTurnsOfTheProgram checks that work of the program and of clients alternate.
func TestTurnsOfTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(1, 1, 100)
		first, err := q.Enter(t.Context(), client.Client{Name: "first"})
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, name := range []string{"a", "b", "", "", "", "c", "d"} {
			go func() {
				p, err := q.Enter(t.Context(), client.Client{Name: name})
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, name)
				p.Leave(false)
			}()
			synctest.Wait()
		}
		first.Leave(false)
		synctest.Wait()
		if got, want := strings.Join(order, " "), " a  b  c d"; got != want {
			t.Errorf("the order is %q, want %q", got, want)
		}
	})
}
