package searchset

import (
	"context"
	"slices"

	"muster/internal/fhir"
	"muster/internal/search"
	"muster/internal/store"
)

// expansion collects what the includes of a page bring along: each resource once,
// never one of the page's matches, and only what may be read (TR-06, VI-02).
type expansion struct {
	*Service
	seen     map[store.RowKey]bool
	included []store.Row
	bytes    int64
	cut      bool // a limit has kept something out (TR-08)
}

// include follows the includes from the matches, and those with :iterate from what
// they bring, until nothing new comes.
func (s *Service) include(ctx context.Context, matches []store.Row, includes []search.Include) (*expansion, error) {
	e := &expansion{Service: s, seen: map[store.RowKey]bool{}}
	for _, row := range matches {
		e.seen[row.Key] = true
	}
	from := matches
	for step := 0; len(from) > 0 && !e.cut; step++ {
		before := len(e.included)
		for _, i := range includes {
			if step > 0 && !i.Iterate {
				continue
			}
			if step == MaxSteps {
				e.cut = e.cut || startsAt(i, from)
				continue
			}
			if err := e.follow(ctx, i, from); err != nil {
				return nil, err
			}
		}
		from = e.included[before:]
	}
	return e, nil
}

// startsAt reports whether an include would be applied to one of the rows.
func startsAt(i search.Include, from []store.Row) bool {
	for _, row := range from {
		if t := row.Key.Type(); !i.Reverse && t == i.Source || i.Reverse && i.Reaches(t) {
			return true
		}
	}
	return false
}

// follow applies one include to the rows.
func (e *expansion) follow(ctx context.Context, i search.Include, from []store.Row) error {
	if i.Reverse {
		return e.back(ctx, i, from)
	}
	return e.forward(ctx, i, from)
}

// forward adds what the rows of the source type refer to.
func (e *expansion) forward(ctx context.Context, i search.Include, from []store.Row) error {
	var keys []store.RowKey
	for _, row := range from {
		if row.Key.Type() == i.Source {
			keys = append(keys, row.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	references, err := e.Store.References(ctx, keys, i.Param.ID)
	if err != nil {
		return err
	}
	ids := map[fhir.Type][]string{}
	asked := map[store.Reference]bool{}
	for _, r := range references {
		target := store.Reference{Type: r.Type, ID: r.ID}
		if i.Reaches(r.Type) && !asked[target] {
			asked[target] = true
			ids[r.Type] = append(ids[r.Type], r.ID)
		}
	}
	for _, t := range fhir.Types() {
		rows, err := e.Store.Lookup(ctx, t, ids[t])
		if err != nil {
			return err
		}
		if err := e.add(ctx, rows); err != nil {
			return err
		}
	}
	return nil
}

// back adds the resources of the source type that refer to the rows.
func (e *expansion) back(ctx context.Context, i search.Include, from []store.Row) error {
	ids := map[fhir.Type][]string{}
	for _, row := range from {
		if t := row.Key.Type(); i.Reaches(t) {
			ids[t] = append(ids[t], row.ID)
		}
	}
	for _, t := range fhir.Types() {
		if len(ids[t]) == 0 {
			continue
		}
		rows, err := e.Store.Referrers(ctx, i.Source, i.Param.ID, t, ids[t], MaxIncluded+1)
		if err != nil {
			return err
		}
		e.cut = e.cut || len(rows) > MaxIncluded
		if err := e.add(ctx, rows); err != nil {
			return err
		}
	}
	return nil
}

// add takes rows of one type in as long as there is room.
func (e *expansion) add(ctx context.Context, rows []store.Row) error {
	rows, err := e.visible(ctx, slices.DeleteFunc(rows, func(row store.Row) bool { return e.seen[row.Key] }))
	if err != nil {
		return err
	}
	for _, row := range rows {
		if len(e.included) >= MaxIncluded || e.bytes+row.Size > maxBytes {
			e.cut = true
			return nil
		}
		e.seen[row.Key] = true
		e.bytes += row.Size
		e.included = append(e.included, row)
	}
	return nil
}
