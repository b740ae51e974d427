package load

import (
	"context"
	"hash/maphash"
	"strings"

	"muster/internal/fhir"
	"muster/internal/search/index"
)

// committed is a resource that was committed, with the input of the checks across resources.
type committed struct {
	file     string
	line     int
	t        fhir.Type
	id       string
	change   int            // its index in batch.changes
	served   *servedVersion // what it may be a version of
	warnings []warning
	links    []link
	outside  []string
	hpii     []string
	localIDs []string
	removal  bool // the resource is removed; it has none of the above but its name
}

// warning returns a warning about the resource.
func (l *committed) warning(kind Kind, reason string) Rejected {
	return Rejected{File: l.file, Line: l.line, Type: l.t.String(), ID: l.id, Reason: reason, Kind: kind}
}

// These limits bound the memory of a load.
const (
	maxPending = 1 << 20 // pending references, about 150 bytes each (TestPendingRefSize)
	maxRemoved = 1 << 20 // removed resources, about 150 bytes each
	maxOwned   = 1 << 22 // HPI-I numbers, and as many local identifiers, about 40 bytes each
)

// crossChecks checks the rules that concern several resources. The target of a reference
// may come later in the same load, so a reference to a missing target stays pending until
// the end.
type crossChecks struct {
	directory  Directory
	extractor  *index.Extractor
	maxPending int
	maxRemoved int

	seed         maphash.Seed
	pending      map[uint64]*pendingRef // by the hash of the target; the latest of a list
	pendingCount int
	sequence     int
	origins      map[origin]*origin
	removed      map[removedName]removal
	overlooked   int // removals beyond maxRemoved
	hpii         owners
	localIDs     owners
	dangling     danglingSummary
}

// pendingRef is a reference whose target the directory does not have yet. It is small, since
// there may be a million.
type pendingRef struct {
	sequence int // in the source
	line     int
	id       string
	origin   *origin
	next     *pendingRef // with the same target
}

// origin is the part that many pending references share.
type origin struct {
	file   string
	t      fhir.Type
	member string
	to     string // type of the target
}

func newCrossChecks(directory Directory, extractor *index.Extractor) *crossChecks {
	return &crossChecks{
		directory: directory, extractor: extractor, maxPending: maxPending, maxRemoved: maxRemoved, seed: maphash.MakeSeed(),
		pending: map[uint64]*pendingRef{}, removed: map[removedName]removal{}, hpii: owners{}, localIDs: owners{},
	}
}

// check checks resources that were just committed and reports warnings in the order of the
// source.
func (c *crossChecks) check(ctx context.Context, list []committed, report func(Rejected) error) error {
	present, err := c.presentTargets(ctx, list)
	if err != nil {
		return err
	}
	for i := range list {
		l := &list[i]
		if l.removal {
			c.remove(l)
			continue
		}
		c.resolve(l)
		for _, w := range l.warnings {
			if w.kind == Dangling {
				member, _, _ := strings.Cut(w.reason, ":")
				c.dangling.add(l, member, aURN)
			}
			if err := report(l.warning(w.kind, w.reason)); err != nil {
				return err
			}
		}
		if err := c.reportShared(l, report); err != nil {
			return err
		}
		for _, link := range l.links {
			if present[link.to] {
				continue
			}
			if c.pendingCount == c.maxPending {
				if err := report(l.warning(NotFollowed, link.member+": too many references to resources that come later: load the types in the order "+fhir.Names(fhir.Types()))); err != nil {
					return err
				}
				continue
			}
			c.addPending(l, link)
		}
	}
	return nil
}

// presentTargets looks up the targets of the resources' references.
func (c *crossChecks) presentTargets(ctx context.Context, list []committed) (map[fhir.Reference]bool, error) {
	present := map[fhir.Reference]bool{}
	ids := map[fhir.Type][]string{}
	for i := range list {
		for _, link := range list[i].links {
			if _, known := present[link.to]; known {
				continue
			}
			present[link.to] = false
			if t, ok := fhir.ParseType(link.to.Type); ok {
				ids[t] = append(ids[t], link.to.ID)
			}
		}
	}
	for t, targets := range ids {
		found, err := c.directory.Present(ctx, t, targets)
		if err != nil {
			return nil, err
		}
		for id := range found {
			present[fhir.Reference{Type: t.String(), ID: id}] = true
		}
	}
	return present, nil
}

// resolve removes the pending references to a resource.
func (c *crossChecks) resolve(l *committed) {
	if len(c.pending) == 0 {
		return
	}
	key := c.hash(fhir.Reference{Type: l.t.String(), ID: l.id})
	for ref := c.pending[key]; ref != nil; ref = ref.next {
		c.pendingCount--
	}
	delete(c.pending, key)
}

// addPending adds a reference to a missing target.
func (c *crossChecks) addPending(l *committed, link link) {
	key := c.hash(link.to)
	c.sequence++
	c.pendingCount++
	c.pending[key] = &pendingRef{c.sequence, l.line, l.id, c.originOf(l, link), c.pending[key]}
}

// originOf returns the shared origin of a reference.
func (c *crossChecks) originOf(l *committed, link link) *origin {
	of := origin{l.file, l.t, link.member, link.to.Type}
	known, ok := c.origins[of]
	if !ok {
		if c.origins == nil || len(c.origins) == 1000 { // rare; the old ones stay in memory as long as references use them
			c.origins = map[origin]*origin{}
		}
		of.to = strings.Clone(of.to) // a substring would keep the whole reference in memory
		known = &of
		c.origins[of] = known
	}
	return known
}

// reportShared reports identifiers that an earlier resource of the load has too: an HPI-I
// or a local identifier, which is unique over all types (OB-04).
func (c *crossChecks) reportShared(l *committed, report func(Rejected) error) error {
	self := c.hash(fhir.Reference{Type: l.t.String(), ID: l.id})
	if c.hpii.shared(c.seed, l.hpii, self) {
		if err := report(l.warning(SharedHPII, "identifier: another Practitioner of this load has the same HPI-I")); err != nil {
			return err
		}
	}
	if c.localIDs.shared(c.seed, l.localIDs, self) {
		return report(l.warning(SharedLocalID, "identifier: another resource of this load has the same local identifier: leave it out, and the directory derives one"))
	}
	return nil
}

// owners maps hashes of identifiers to those of the resources that had them first. It
// remembers maxOwned identifiers.
type owners map[uint64]uint64

// shared reports whether an earlier resource has one of the values of the resource self.
func (o owners) shared(seed maphash.Seed, values []string, self uint64) (shared bool) {
	for _, value := range values {
		number := maphash.String(seed, value)
		owner, known := o[number]
		switch {
		case known && owner != self:
			shared = true
		case !known && len(o) < maxOwned:
			o[number] = self
		}
	}
	return shared
}

// hash returns the key of a target.
func (c *crossChecks) hash(r fhir.Reference) uint64 { return maphash.String(c.seed, r.Type+"/"+r.ID) }
