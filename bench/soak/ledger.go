package soak

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Name is a resource: its type and id.
type Name struct{ Type, ID string }

func (n Name) String() string { return n.Type + "/" + n.ID }

// History knows what each resource was made to hold, version by version, and what of
// that was acknowledged. One writer at a time may change a resource. Safe for use by
// several goroutines.
type History struct {
	mu        sync.Mutex
	resources map[Name]*resourceHistory
}

// resourceHistory is the life of one resource. Version n is events[n-1].
type resourceHistory struct {
	events   []event
	acked    int // the version that is in the directory for certain
	removals int // begun
}

type event struct{ removal, hidden bool }

// NewHistory returns an empty ledger.
func NewHistory() *History { return &History{resources: map[Name]*resourceHistory{}} }

func (l *History) resource(n Name) *resourceHistory {
	e := l.resources[n]
	if e == nil {
		e = &resourceHistory{}
		l.resources[n] = e
	}
	return e
}

// Put plans the next version of a resource and returns it as a line to load. A hidden one
// is not active. What the line is worth is certain only after [History.Acknowledge].
func (l *History) Put(n Name, hidden bool) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.resource(n)
	e.events = append(e.events, event{hidden: hidden})
	return line(n, len(e.events), hidden)
}

// line writes one version of a resource: its text says which one it is.
func line(n Name, version int, hidden bool) string {
	filler := strings.Repeat("x", 40+7*version%160) // versions differ in size
	if n.Type == "Location" {
		status := "active"
		if hidden {
			status = "suspended"
		}
		return fmt.Sprintf(`{"resourceType":"Location","id":%q,"status":%q,"name":"V%d","description":%q}`+"\n", n.ID, status, version, filler)
	}
	return fmt.Sprintf(`{"resourceType":%q,"id":%q,"active":%t,"name":[{"family":"V%d","given":[%q]}]}`+"\n", n.Type, n.ID, !hidden, version, filler)
}

// Remove plans the removal of a resource, which takes a version number too. From now on
// it may be gone.
func (l *History) Remove(n Name) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.resource(n)
	e.events = append(e.events, event{removal: true})
	e.removals++
	e.acked = 0
}

// Acknowledge notes that everything planned for the resources so far is in the
// directory.
func (l *History) Acknowledge(names ...Name) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range names {
		if e := l.resource(n); !e.events[len(e.events)-1].removal {
			e.acked = len(e.events)
		}
	}
}

// Present tells whether the last event planned for a resource is a put.
func (l *History) LastIsPut(n Name) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.resource(n)
	return len(e.events) > 0 && !e.events[len(e.events)-1].removal
}

// Expectation is what an export that starts now must hold of a resource at least.
type Expectation struct {
	Version  int
	removals int
}

// Dues returns what is due now: of each resource that was acknowledged and of which
// no removal has begun since. Hidden ones are due only to exports that hold them.
func (l *History) Expectations(hidden bool) map[Name]Expectation {
	l.mu.Lock()
	defer l.mu.Unlock()
	dues := map[Name]Expectation{}
	for n, e := range l.resources {
		if e.acked > 0 && (hidden || !e.events[e.acked-1].hidden) {
			dues[n] = Expectation{e.acked, e.removals}
		}
	}
	return dues
}

// Still tells whether a debt from before stands: no removal has begun meanwhile.
func (l *History) StillExpected(n Name, d Expectation) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.resource(n).removals == d.removals
}

// Check compares a line of an export with what that version was made to hold.
func (l *History) CheckLine(r Line) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.resources[r.Name]
	switch {
	case e == nil:
		return fmt.Errorf("%s was never written", r.Name)
	case r.Version < 1 || r.Version > len(e.events):
		return fmt.Errorf("%s has version %d, but %d were written", r.Name, r.Version, len(e.events))
	case e.events[r.Version-1].removal:
		return fmt.Errorf("%s has version %d, which was its removal", r.Name, r.Version)
	case r.Text != fmt.Sprintf("V%d", r.Version):
		return fmt.Errorf("%s version %d says it is %s", r.Name, r.Version, r.Text)
	case r.Hidden != e.events[r.Version-1].hidden:
		return fmt.Errorf("%s version %d has hidden %t, written was %t", r.Name, r.Version, r.Hidden, !r.Hidden)
	}
	return nil
}

// Final returns the last version of each resource that is there, hidden ones only if
// request for. It is true when all writers have ended.
func (l *History) Final(hidden bool) map[Name]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	final := map[Name]int{}
	for n, e := range l.resources {
		if len(e.events) == 0 {
			continue
		}
		if last := e.events[len(e.events)-1]; !last.removal && (hidden || !last.hidden) {
			final[n] = len(e.events)
		}
	}
	return final
}

// Versions is the number of versions planned, removals included.
func (l *History) Versions() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := 0
	for _, e := range l.resources {
		all += len(e.events)
	}
	return all
}

// hiddenAfter tells whether a version after the one given is hidden.
func (l *History) hiddenAfter(n Name, version int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.resource(n)
	return slices.ContainsFunc(e.events[min(version, len(e.events)):], func(e event) bool { return e.hidden })
}
