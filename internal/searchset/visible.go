package searchset

import (
	"context"
	"slices"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/store"
)

// visible keeps the rows of one type that everybody may see, in their order (VI-02).
// The state in the row decides, but of a Provenance the state of all that it is about
// (VI-14), which the store is asked for.
func (s *Service) visible(ctx context.Context, rows []store.Row) ([]store.Row, error) {
	rows = slices.DeleteFunc(rows, func(row store.Row) bool { return !policy.Readable(row.Visibility) })
	if len(rows) == 0 || rows[0].Key.Type() != fhir.Provenance {
		return rows, nil
	}
	ids := make([]string, len(rows))
	for n, row := range rows {
		ids[n] = row.ID
	}
	seen, err := s.lookUp(ctx, fhir.Provenance, ids)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows, func(row store.Row) bool {
		return !slices.ContainsFunc(seen, func(one store.Row) bool { return one.Key == row.Key })
	}), nil
}

// lookUp finds the resources of a type with these ids that everybody may see, in the
// order of their keys.
func (s *Service) lookUp(ctx context.Context, t fhir.Type, ids []string) ([]store.Row, error) {
	p, err := s.Compiler.Visible(t, ids)
	if err != nil {
		return nil, err
	}
	found, err := s.Store.Search(ctx, store.Search{Plan: p, Limit: len(ids)})
	return found.Rows, err
}

// current returns the keys of a page whose resources are still what the search may
// show (PG-08). The state of a row is looked at when its bytes are read; here is what it
// does not tell.
func (s *Service) current(ctx context.Context, t fhir.Type, keys []store.RowKey) ([]store.RowKey, error) {
	if t != fhir.Provenance {
		return keys, nil
	}
	rows, err := s.Store.Rows(ctx, keys)
	if err == nil {
		rows, err = s.visible(ctx, rows)
	}
	keys = make([]store.RowKey, len(rows))
	for n, row := range rows {
		keys[n] = row.Key
	}
	return keys, err
}
