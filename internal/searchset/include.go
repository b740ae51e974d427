package searchset

import (
	"context"
	"slices"

	"muster/internal/fhir"
	"muster/internal/search"
	"muster/internal/store"
)

// includer collects the resources that a page includes: each once, without the matches
// of the page, and only readable resources of the types that the client reaches (TR-06, VI-02,
// AU-03).
type includer struct {
	*Service
	seen      map[store.RowKey]bool
	rows      []store.Row
	bytes     int64
	truncated bool // a limit excluded some resources (TR-08)
}

// include applies the includes to the matches, and those with :iterate to the included
// resources, until no new resources are found.
func (s *Service) include(ctx context.Context, matches []store.Row, includes []search.Include) (*includer, error) {
	e := &includer{Service: s, seen: map[store.RowKey]bool{}}
	for _, row := range matches {
		e.seen[row.Key] = true
	}
	from := matches
	for step := 0; len(from) > 0 && !e.truncated; step++ {
		before := len(e.rows)
		for _, i := range includes {
			if step > 0 && !i.Iterate {
				continue
			}
			if step == MaxSteps {
				e.truncated = e.truncated || appliesTo(i, from)
				continue
			}
			if err := e.apply(ctx, i, from); err != nil {
				return nil, err
			}
		}
		from = e.rows[before:]
	}
	return e, nil
}

// appliesTo reports whether an include applies to one of the rows.
func appliesTo(i search.Include, from []store.Row) bool {
	for _, row := range from {
		if t := row.Key.Type(); !i.Reverse && t == i.Source || i.Reverse && i.Reaches(t) {
			return true
		}
	}
	return false
}

// apply applies one include to rows.
func (e *includer) apply(ctx context.Context, i search.Include, from []store.Row) error {
	if i.Reverse {
		return e.revInclude(ctx, i, from)
	}
	return e.include(ctx, i, from)
}

// include adds the resources that rows of the source type refer to.
func (e *includer) include(ctx context.Context, i search.Include, from []store.Row) error {
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
	seen := map[store.Reference]bool{}
	for _, r := range references {
		target := store.Reference{Type: r.Type, ID: r.ID}
		if i.Reaches(r.Type) && !seen[target] {
			seen[target] = true
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

// revInclude adds the resources of the source type that refer to rows.
func (e *includer) revInclude(ctx context.Context, i search.Include, from []store.Row) error {
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
		e.truncated = e.truncated || len(rows) > MaxIncluded
		if err := e.add(ctx, rows); err != nil {
			return err
		}
	}
	return nil
}

// add adds rows of one type until a limit is reached.
func (e *includer) add(ctx context.Context, rows []store.Row) error {
	rows, err := e.filterVisible(ctx, slices.DeleteFunc(rows, func(row store.Row) bool { return e.seen[row.Key] }))
	if err != nil {
		return err
	}
	for _, row := range rows {
		if len(e.rows) >= MaxIncluded || e.bytes+row.Size > maxBytes {
			e.truncated = true
			return nil
		}
		e.seen[row.Key] = true
		e.bytes += row.Size
		e.rows = append(e.rows, row)
	}
	return nil
}
