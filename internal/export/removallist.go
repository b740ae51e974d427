package export

import (
	"context"
	"errors"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/search/plan"
	"muster/internal/store"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/valyala/fastjson"
)

// RemovalList says where the manifest of an export with _since lists the removal List: the
// identifiers of the resources that were suppressed since and match the filters (RM-01, A-16 to
//
type RemovalList string

// The values of RemovalList.
const (
	RemovalListOff       RemovalList = ""          // there is none
	RemovalListOutput    RemovalList = "output"    // among the files of output
	RemovalListExtension RemovalList = "extension" // in the member extension
)

// hasRemovalList reports whether the export has a removal List, unless it would be empty.
func (r Request) hasRemovalList() bool { return r.updatesCopy() && r.RemovalList != RemovalListOff }

// planRemovalList plans what the removal List names: the resources that were suppressed since, match
// the filters over resources in any state, and have an identifier.
//
// A client that may not ask for suppressed resources gets those of the types, whether or not they
// match. A filter that matches all of them would name the same ones; but a filter that matches some
// would tell what they are like.
func (r Request) planRemovalList(c *search.Compiler) (plans []plan.Plan, err error) {
	if !r.hasRemovalList() {
		return nil, nil
	}
	for _, f := range r.Filters {
		p := f.Plan
		if p.Type == fhir.Provenance {
			continue
		}
		if r.WithoutSuppressed {
			if p, err = c.Changed(p.Type, *r.Since, r.Covered); err != nil {
				return nil, err
			}
		}
		plans = append(plans, p.With(plan.Not{Node: plan.Visible{NotSuppressed: true}}))
	}
	return plans, nil
}

// selectSuppressed selects the resources that the removal List names.
func (x *selector) selectSuppressed(ctx context.Context) error {
	for _, p := range x.request.suppressed {
		x.current = p.Type
		keys := roaring64.New()
		err := x.snapshot.Select(ctx, p, func(key store.RowKey, _ int64) error {
			keys.Add(uint64(key))
			return nil
		})
		if err != nil {
			return fmt.Errorf("select suppressed %s: %w", p.Type, err)
		}
		x.suppressed = append(x.suppressed, store.Selection{Type: p.Type, Keys: keys})
	}
	return nil
}

// addRemovalList generates the parts of the removal List: identifiers without a reference (RM-02,
// RM-03). It reads the resources as of the transaction time, to which the job pins them, after the
// snapshot is closed.
func (s *Service) addRemovalList(ctx context.Context, jobID string, x *selector) (err error) {
	out := newListGenerator(store.PartList, x.partBytes, "Suppressed resources", x.time)
	var parser fastjson.Parser
	unnamed := 0
	for _, selected := range x.suppressed {
		first, last := store.KeyRange(selected.Type)
		for keys := range pages(selected, first, last) {
			err := s.Store.ReadAsOf(ctx, keys, x.time, func(_ store.RowKey, line []byte) error {
				resource, err := parser.ParseBytes(line)
				if err != nil {
					return err
				}
				identifiers := policy.RemovalIdentifiers(selected.Type, resource)
				if len(identifiers) == 0 {
					unnamed++
				}
				for _, i := range identifiers {
					err = errors.Join(err, out.addEntry(byIdentifier(i)))
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("list suppressed %s: %w", selected.Type, err)
			}
		}
	}
	if unnamed > 0 {
		s.Logger.Warn("suppressed resources have no identifier, so the removal List of an export does not name them", "job", jobID, "count", unnamed)
	}
	x.lists, err = out.end()
	return err
}
