package searchset

import (
	"context"
	"slices"

	"muster/internal/auth"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/store"
)

// filterVisible keeps the rows of one type that are visible to the client in a search, in their
// order (VI-02). The type and the state in the row decide; for a Provenance the types and the states
// of all its targets decide (VI-14), so filterVisible searches the store for it.
func (s *Service) filterVisible(ctx context.Context, rows []store.Row) ([]store.Row, error) {
	types := s.access(ctx, auth.Search).Types
	rows = slices.DeleteFunc(rows, func(row store.Row) bool { return !types.Has(row.Key.Type()) || !policy.Readable(row.Visibility) })
	if len(rows) == 0 || rows[0].Key.Type() != fhir.Provenance {
		return rows, nil
	}
	ids := make([]string, len(rows))
	for n, row := range rows {
		ids[n] = row.ID
	}
	visible, err := s.lookUpVisible(ctx, s.Store, fhir.Provenance, ids, types)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows, func(row store.Row) bool {
		return !slices.ContainsFunc(visible, func(v store.Row) bool { return v.Key == row.Key })
	}), nil
}

// lookUpVisible returns the resources of a type with the ids that are visible to all clients that
// reach types, in the order of their keys.
func (s *Service) lookUpVisible(ctx context.Context, in store.Searcher, t fhir.Type, ids []string, types fhir.TypeSet) ([]store.Row, error) {
	p, err := s.Compiler.Visible(t, ids, types)
	if err != nil {
		return nil, err
	}
	found, err := in.Search(ctx, store.Search{Plan: p, Limit: len(ids)})
	return found.Rows, err
}

// currentKeys returns the keys of a page that may still be visible (PG-08). For all types
// except Provenance, the state in the row is checked when the resource is read. For a
// Provenance, currentKeys checks its targets.
func (s *Service) currentKeys(ctx context.Context, t fhir.Type, keys []store.RowKey) ([]store.RowKey, error) {
	if t != fhir.Provenance {
		return keys, nil
	}
	rows, err := s.Store.Rows(ctx, keys)
	if err == nil {
		rows, err = s.filterVisible(ctx, rows)
	}
	keys = make([]store.RowKey, len(rows))
	for n, row := range rows {
		keys[n] = row.Key
	}
	return keys, err
}
