package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"muster/internal/damage"
	"muster/internal/fhir"
	"muster/internal/job"
	"muster/internal/search/plan"
	"muster/internal/store"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
)

// tracking is what a client holds that tracks the membership of its filters
// (docs/decisions/0028-membership.md). Members are what a full export with the filters holds.
type tracking struct {
	before *roaring64.Bitmap // the members at _since; empty if the client holds nothing
	now    *roaring64.Bitmap // the members as of the transaction time
	// held are the members at _since, without those that were removed. What was created again is in
	// the place of what was removed.
	held *roaring64.Bitmap
}

// canonicalFilters returns a digest that is equal for requests that ask for the same types with the
// same filters, in any order.
func (r Request) canonicalFilters() string {
	var texts []string
	for _, f := range r.Filters {
		texts = append(texts, f.Canonical())
	}
	slices.Sort(texts)
	sum := sha256.Sum256([]byte(strings.Join(texts, "\n")))
	return hex.EncodeToString(sum[:])
}

// tracking returns what the client of a job holds. It is nil if the client does not track it, or if
// it is not known: it was forgotten, or the client did not get _since from an export that tracked
// the membership of the same filters, or it is damaged.
func (s *Service) tracking(ctx context.Context, j store.Job, r Request) (*tracking, error) {
	if !r.TrackMembership {
		return nil, nil
	}
	t := &tracking{before: roaring64.New(), now: roaring64.New()}
	if r.updatesCopy() {
		key := store.MembersKey{Owner: j.Owner, Client: j.Client.Name, Filters: r.canonicalFilters(), Time: *r.Since}
		var err error
		t.before, err = s.jobs.Members(ctx, key, s.now())
		if kind, damaged := damage.KindOf(err); damaged {
			s.Observer.Damaged(kind)
			s.Logger.Error("damaged", "job", j.ID, "error", err)
		} else if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err != nil {
			return nil, nil
		}
	}
	t.held = t.before.Clone()
	return t, nil
}

// keepMembers stores what the client of an export holds after it, for the next one.
func (s *Service) keepMembers(ctx context.Context, c *job.Claim, x *selector) error {
	if !x.request.TrackMembership {
		return nil
	}
	var now *roaring64.Bitmap
	if x.tracking != nil {
		now = x.tracking.now
	}
	return s.jobs.StoreMembers(ctx, c.Task, x.request.canonicalFilters(), now, s.MembershipBytes, s.now())
}

// selectRows yields the keys and sizes of the rows of a filter, in ascending order of the keys.
func (x *selector) selectRows(ctx context.Context, filter int, yield func(store.RowKey, int64) error) error {
	found := x.request.Filters[filter].Plan
	switch {
	case x.tracking == nil:
		return x.snapshot.Select(ctx, found, yield)
	case x.request.updatesCopy():
		return x.selectChanges(ctx, found, x.request.members[filter], yield)
	}
	return x.selectMembers(ctx, found, x.request.members[filter], yield)
}

// selectChanges yields what has changed, and the members that the client does not hold, which have
// entered the filter without a change of their own.
func (x *selector) selectChanges(ctx context.Context, changed, members plan.Plan, yield func(store.RowKey, int64) error) error {
	all := merger{yield: yield}
	err := x.snapshot.Select(ctx, members, func(key store.RowKey, size int64) error {
		x.tracking.now.Add(uint64(key))
		if !x.tracking.before.Contains(uint64(key)) {
			all.others = append(all.others, sizedRow{key, size})
		}
		return nil
	})
	if err == nil {
		err = x.snapshot.Select(ctx, changed, all.add)
	}
	if err == nil {
		err = all.rest()
	}
	return err
}

// selectMembers yields the members for a client that holds nothing, and of what the plan of an
// export with _since finds, what shows that it is hidden. There is no List of what has left, so the
// export does not hold what is found only by way of something hidden: a client could not tell it from
// a member.
func (x *selector) selectMembers(ctx context.Context, found, members plan.Plan, yield func(store.RowKey, int64) error) (err error) {
	all := merger{yield: yield}
	if x.request.HoldsNothing() {
		err = x.snapshot.Select(ctx, found.With(plan.Not{Node: members.Visible()}), func(key store.RowKey, size int64) error {
			all.others = append(all.others, sizedRow{key, size})
			return nil
		})
	}
	if err == nil {
		err = x.snapshot.Select(ctx, members, func(key store.RowKey, size int64) error {
			x.tracking.now.Add(uint64(key))
			return all.add(key, size)
		})
	}
	if err == nil {
		err = all.rest()
	}
	return err
}

type sizedRow struct {
	key  store.RowKey
	size int64
}

// merger yields rows, which are added in ascending order of their keys, together with others in the
// same order, each once.
type merger struct {
	others []sizedRow
	yield  func(store.RowKey, int64) error
}

func (m *merger) add(key store.RowKey, size int64) error {
	for len(m.others) > 0 && m.others[0].key <= key {
		other := m.others[0]
		if m.others = m.others[1:]; other.key == key {
			break
		}
		if err := m.yield(other.key, other.size); err != nil {
			return err
		}
	}
	return m.yield(key, size)
}

// rest yields the others that are left.
func (m *merger) rest() error {
	for _, other := range m.others {
		if err := m.yield(other.key, other.size); err != nil {
			return err
		}
	}
	return nil
}

// follow follows a removal: what was removed is in the member deleted of the manifest, unless it was
// created again.
func (t *tracking) follow(r store.Removal) {
	if t == nil || !t.before.Contains(uint64(r.Key)) {
		return
	}
	t.held.Remove(uint64(r.Key))
	if r.Again != 0 {
		t.held.Add(uint64(r.Again))
	}
}

// errForeignMembers reports members that the directory does not know, neither as resources nor as
// removed ones.
var errForeignMembers = errors.New("members that are not of this directory")

// addLeft generates the parts of what has left the filters: the resources that the client holds after
// it has applied the output, and that are not members now. Those that show that they are hidden are
// left out, since the client hides them itself.
func (x *selector) addLeft(ctx context.Context) (err error) {
	if x.tracking == nil || !x.request.updatesCopy() {
		return nil
	}
	output := roaring64.New()
	for _, s := range x.selections {
		output.Or(s.Keys)
	}
	left := roaring64.Or(x.tracking.held, output)
	left.AndNot(x.tracking.now)
	out := newListGenerator(store.PartLeft, x.partBytes, "Resources that have left the filters", x.time)
	for _, p := range x.request.members {
		x.current = p.Type
		first, last := store.KeyRange(p.Type)
		for keys := range pages(store.Selection{Type: p.Type, Keys: left}, first, last) {
			rows, err := x.snapshot.Rows(ctx, keys)
			if err != nil {
				return err
			}
			if len(rows) < len(keys) {
				return errForeignMembers
			}
			for _, r := range rows {
				if output.Contains(uint64(r.Key)) && !p.Visible().Shows(r.Visibility) {
					continue
				}
				if err := out.addEntry(asLeft(p.Type, r.ID)); err != nil {
					return err
				}
			}
		}
	}
	if x.left, err = out.end(); err != nil {
		return fmt.Errorf("list what has left the filters: %w", err)
	}
	return nil
}

// asLeft returns the entry of a resource that has left the filters.
func asLeft(t fhir.Type, id string) listEntry {
	return listEntry{Deleted: true, Item: listItem{Reference: t.String() + "/" + id}}
}
