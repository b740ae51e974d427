package export

import (
	"context"

	"muster/internal/fhir"
	"muster/internal/store"
)

// maxDeletes is how many resources one Bundle deletes.
const maxDeletes = 1000

// addRemovals generates the parts of the removals since _since: transaction Bundles that delete
// what was removed, and not created again (MA-08). The filters do not matter: what a removed
// resource was like is not known any more. Nor is what a removed Provenance was about: for a client
// that does not reach all types, only those are listed that it is known to hold.
func (x *selector) addRemovals(ctx context.Context) (err error) {
	if !x.request.updatesCopy() {
		return nil
	}
	out := newGenerator(store.PartRemoved, x.partBytes)
	bundle := deleteBundle{time: x.time}
	write := func() error {
		x.count()
		return out.add(bundle.line())
	}
	for _, f := range x.request.Filters {
		x.current = f.Plan.Type
		last := ""
		err := x.snapshot.Removals(ctx, f.Plan.Type, *x.request.Since, func(r store.Removal) error {
			x.tracking.follow(r)
			if r.Again != 0 || r.ID == last || f.Plan.Type == fhir.Provenance && !x.request.mayListRemoved(x.tracking, r) {
				return nil
			}
			last = r.ID
			if bundle.add(f.Plan.Type, r.ID); bundle.entries < maxDeletes {
				return nil
			}
			return write()
		})
		if err != nil {
			return err
		}
	}
	if bundle.entries > 0 {
		if err := write(); err != nil {
			return err
		}
	}
	x.removed, err = out.end()
	return err
}

// deleteBundle is a transaction Bundle that deletes resources.
type deleteBundle struct {
	time    fhir.Instant // of the export
	text    []byte
	entries int
}

// add adds a resource. An id has no character that JSON escapes.
func (b *deleteBundle) add(t fhir.Type, id string) {
	if b.entries == 0 {
		b.text = append(b.text[:0], `{"resourceType":"Bundle","meta":{"lastUpdated":"`+b.time.String()+`"},"type":"transaction","entry":[`...)
	} else {
		b.text = append(b.text, ',')
	}
	b.entries++
	b.text = append(b.text, `{"request":{"method":"DELETE","url":"`+t.String()+"/"+id+`"}}`...)
}

// line ends the Bundle and returns its text, which is valid until the next add.
func (b *deleteBundle) line() []byte {
	b.entries = 0
	return append(b.text, "]}"...)
}
