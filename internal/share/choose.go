package share

// candidate is a client of whose holdings some may be evicted.
type candidate struct {
	weight float64         // without what was chosen
	next   func() *Holding // returns those that do not leave yet, one by one, then nil
	first  *Holding        // what next has returned
}

// order decides which holding of a client is evicted next.
type order func(*holder) (next func() *Holding)

// oldestIdle is the order of the idle holdings: first the one that has been idle for longest.
func oldestIdle(h *holder) func() *Holding {
	n := 0
	return func() *Holding {
		for ; n < len(h.idle); n++ {
			if one := h.idle[n]; !one.leaving {
				return one
			}
		}
		return nil
	}
}

// newest is the order of all holdings: first the one that was taken last.
func newest(h *holder) func() *Holding {
	n := len(h.all)
	return func() *Holding {
		for ; n > 0; n-- {
			if one := h.all[n-1]; !one.leaving {
				return one
			}
		}
		return nil
	}
}

// greatestFirst is a heap (package heap): the first candidate has the greatest weight; of equal ones,
// its holding has been idle for longest. A new connection is idle until it has sent a request, and
// should not be closed before.
type greatestFirst []*candidate

func (g greatestFirst) Len() int { return len(g) }
func (g greatestFirst) Less(i, j int) bool {
	if g[i].weight != g[j].weight {
		return g[i].weight > g[j].weight
	}
	return g[i].first.idleSince < g[j].first.idleSince
}
func (g greatestFirst) Swap(i, j int) { g[i], g[j] = g[j], g[i] }
func (g *greatestFirst) Push(x any)   { *g = append(*g, x.(*candidate)) }
func (g *greatestFirst) Pop() (last any) {
	end := len(*g) - 1
	last, *g = (*g)[end], (*g)[:end]
	return last
}
