package soak

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Name identifies a resource by type and id.
type Name struct{ Type, ID string }

func (n Name) String() string { return n.Type + "/" + n.ID }

// History records the planned content of every version of every resource, and which
// versions were acknowledged. Only one writer at a time may change a resource. It is safe
// for use by several goroutines.
type History struct {
	mu        sync.Mutex
	resources map[Name]*resourceHistory
}

// resourceHistory is the history of one resource. Version n is events[n-1].
type resourceHistory struct {
	events       []event
	acknowledged int // the version that is certain to be stored
	removals     int // started removals
}

type event struct{ removal, hidden bool }

// NewHistory returns an empty history.
func NewHistory() *History { return &History{resources: map[Name]*resourceHistory{}} }

func (h *History) resource(n Name) *resourceHistory {
	r := h.resources[n]
	if r == nil {
		r = &resourceHistory{}
		h.resources[n] = r
	}
	return r
}

// Put records the next version of a resource and returns it as a line to load. A hidden
// version is not active. The version is certain to be stored only after
// [History.Acknowledge].
func (h *History) Put(n Name, hidden bool) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.resource(n)
	r.events = append(r.events, event{hidden: hidden})
	return line(n, len(r.events), hidden)
}

// line returns one version of a resource as NDJSON. Its text states the version.
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

// Remove records the removal of a resource, which also takes a version number. From now
// on the resource may be missing.
func (h *History) Remove(n Name) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.resource(n)
	r.events = append(r.events, event{removal: true})
	r.removals++
	r.acknowledged = 0
}

// Acknowledge records that all recorded versions of the resources are stored.
func (h *History) Acknowledge(names ...Name) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range names {
		if r := h.resource(n); !r.events[len(r.events)-1].removal {
			r.acknowledged = len(r.events)
		}
	}
}

// LastIsPut reports whether the last recorded event of a resource is a put.
func (h *History) LastIsPut(n Name) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.resource(n)
	return len(r.events) > 0 && !r.events[len(r.events)-1].removal
}

// Expectation is the lowest version of a resource that an export may hold.
type Expectation struct {
	Version  int
	removals int
}

// Expectations returns what an export that starts now must hold: the acknowledged version
// of each resource whose removal has not started since. It includes hidden resources only
// for exports that hold them.
func (h *History) Expectations(hidden bool) map[Name]Expectation {
	h.mu.Lock()
	defer h.mu.Unlock()
	expected := map[Name]Expectation{}
	for n, r := range h.resources {
		if r.acknowledged > 0 && (hidden || !r.events[r.acknowledged-1].hidden) {
			expected[n] = Expectation{r.acknowledged, r.removals}
		}
	}
	return expected
}

// StillExpected reports whether an expectation is still valid: no removal has started
// since.
func (h *History) StillExpected(n Name, e Expectation) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.resource(n).removals == e.removals
}

// CheckLine compares a line of an export with the recorded content of that version.
func (h *History) CheckLine(line Line) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.resources[line.Name]
	switch {
	case r == nil:
		return fmt.Errorf("%s was never written", line.Name)
	case line.Version < 1 || line.Version > len(r.events):
		return fmt.Errorf("%s has version %d, but only %d were written", line.Name, line.Version, len(r.events))
	case r.events[line.Version-1].removal:
		return fmt.Errorf("%s has version %d, which was its removal", line.Name, line.Version)
	case line.Text != fmt.Sprintf("V%d", line.Version):
		return fmt.Errorf("%s version %d says that it is %s", line.Name, line.Version, line.Text)
	case line.Hidden != r.events[line.Version-1].hidden:
		return fmt.Errorf("%s version %d has hidden %t, but was written with %t", line.Name, line.Version, line.Hidden, !line.Hidden)
	}
	return nil
}

// Final returns the last version of each resource that exists, with the hidden ones if
// hidden is set. Call it when all writers have ended.
func (h *History) Final(hidden bool) map[Name]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	final := map[Name]int{}
	for n, r := range h.resources {
		if len(r.events) == 0 {
			continue
		}
		if last := r.events[len(r.events)-1]; !last.removal && (hidden || !last.hidden) {
			final[n] = len(r.events)
		}
	}
	return final
}

// Versions returns the number of recorded versions, including removals.
func (h *History) Versions() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := 0
	for _, r := range h.resources {
		all += len(r.events)
	}
	return all
}

// hiddenAfter reports whether a version after the given one is hidden.
func (h *History) hiddenAfter(n Name, version int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.resource(n)
	return slices.ContainsFunc(r.events[min(version, len(r.events)):], func(e event) bool { return e.hidden })
}
