package rulestest

import (
	"reflect"
	"slices"
)

// History is a sequence of steps. Each step is one load of a directory.
type History struct {
	World World
	View  View // of World

	changed []map[Name]bool     // by step: what has a new version
	removed []map[Name]bool     // by step
	served  map[Name][]Resource // what exports after each step had of a resource, the oldest first
	rewrote map[Name]bool       // a reload has hidden it
	between []View              // before the last step and after each of its transactions
	before  World               // before the last step
	made    [][]Change          // the transactions of the last step
}

// Steps returns the number of steps.
func (h *History) Steps() int { return len(h.changed) }

// Step makes changes in their order. They are one transaction, except that a second change of a
// resource begins another one. A reload is a step of its own.
func (h *History) Step(changes ...Change) {
	h.changed, h.removed = append(h.changed, map[Name]bool{}), append(h.removed, map[Name]bool{})
	h.between, h.before, h.made = []View{h.View}, h.World, nil
	if len(changes) == 1 && changes[0].Reloaded > 0 {
		changes = h.reload(changes[0])
	}
	for len(changes) > 0 {
		names := map[Name]bool{}
		n := slices.IndexFunc(changes, func(c Change) bool {
			again := names[c.Name]
			names[c.Name] = true
			return again
		})
		if n < 0 {
			n = len(changes)
		}
		h.commit(changes[:n])
		h.between, h.made = append(h.between, h.View), append(h.made, changes[:n])
		changes = changes[n:]
	}
	h.keepServed()
}

// Between returns what clients may see while the last step is made: the view before it, and that
// after each of its transactions.
func (h *History) Between() []View { return h.between }

// Repeated returns what clients may see while the last step is made again, after attempts that ended
// early. An attempt begins with the first transaction. So what an earlier one has changed further
// on stays, and what both have changed is as after the last one.
func (h *History) Repeated() (views []View) {
	for ends := range 1 << len(h.made) { // the transactions after which attempts ended, the last one first
		w := h.before
		for last := len(h.made); last > 0; last-- {
			if ends&(1<<(last-1)) == 0 {
				continue
			}
			for _, changes := range h.made[:last] {
				for _, c := range changes {
					w = w.after(c)
				}
			}
		}
		views = append(views, w.View())
	}
	return views
}

// commit makes the changes of a transaction. A resource has a new version if its source or its
// document has changed, or what it is about.
func (h *History) commit(changes []Change) {
	before, view := h.World, h.View
	last := len(h.changed) - 1
	for _, c := range changes {
		if _, present := h.World.Present[c.Name]; c.Document == nil && present {
			h.removed[last][c.Name] = true
		}
		h.World = h.World.after(c)
	}
	h.View = h.World.View()
	for n, r := range h.View {
		old, present := view[n]
		if !present || !equal(before.Present[n], r.Own) || !equal(old.Document, r.Document) || h.View.differ(view, targets(r.Document)) {
			h.changed[last][n] = true
		}
	}
}

// differ reports whether the state of any of the resources differs in two views.
func (v View) differ(from View, names []Name) bool {
	for _, n := range names {
		now, isNow := v[n]
		then, wasThen := from[n]
		if isNow != wasThen || now.State != then.State {
			return true
		}
	}
	return false
}

// Delta returns what a delta holds at the end, since the end of a step (0: since the beginning):
// the resources with a new version, and those that were removed.
func (h *History) Delta(since int) (output, deleted []Name) {
	gone := View{}
	for _, removed := range h.removed[since:] {
		for n := range removed {
			if _, present := h.View[n]; !present {
				gone[n] = Resource{}
			}
		}
	}
	output = h.View.names(func(n Name) bool {
		for _, changed := range h.changed[since:] {
			if changed[n] {
				return true
			}
		}
		return false
	})
	return output, gone.names(func(Name) bool { return true })
}

func equal(a, b Object) bool { return reflect.DeepEqual(a, b) }
