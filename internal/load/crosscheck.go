package load

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// link is a reference of a resource into the directory.
type link struct {
	member string // of the resource, in which it stands
	to     fhir.Reference
}

// linkFinder finds the references of resources. It serves one goroutine.
type linkFinder struct{ names map[string]string }

// find appends the relative references of a resource. Others lead out of the
// directory, or into the resource itself.
func (f *linkFinder) find(dst []link, v *fastjson.Value) []link {
	v.GetObject().Visit(func(name []byte, member *fastjson.Value) {
		if member.Type() == fastjson.TypeObject || member.Type() == fastjson.TypeArray {
			dst = appendLinks(dst, f.name(name), member)
		}
	})
	return dst
}

// name returns the name of a member, one string for all resources.
func (f *linkFinder) name(name []byte) string {
	known, ok := f.names[string(name)]
	if !ok {
		if f.names == nil || len(f.names) == 1000 { // so many names are somebody's play
			f.names = map[string]string{}
		}
		known = string(name)
		f.names[known] = known
	}
	return known
}

func appendLinks(dst []link, member string, v *fastjson.Value) []link {
	switch v.Type() {
	case fastjson.TypeArray:
		for _, item := range v.GetArray() {
			dst = appendLinks(dst, member, item)
		}
	case fastjson.TypeObject:
		v.GetObject().Visit(func(name []byte, inner *fastjson.Value) {
			if string(name) != "reference" || inner.Type() != fastjson.TypeString {
				dst = appendLinks(dst, member, inner)
			} else if to, err := fhir.ParseReference(string(inner.GetStringBytes()), ""); err == nil {
				dst = append(dst, link{member, to})
			}
		})
	}
	return dst
}

// committed is a resource that was loaded, with what there is to say of it.
type committed struct {
	file     string
	line     int
	t        fhir.Type
	id       string
	warnings []warning
	links    []link
	hpii     []string
}

func (l *committed) warning(kind Kind, reason string) Rejected {
	return Rejected{File: l.file, Line: l.line, Type: l.t.String(), ID: l.id, Reason: reason, Kind: kind}
}

// What a load remembers at most, so that its memory has a bound.
const (
	maxPending = 1 << 20 // references whose targets have not come yet, about 150 bytes each (TestWaiterSize)
	maxHPII    = 1 << 22 // numbers, about 40 bytes each
)

// crossChecks holds a load against the rules that need more than one resource. A
// target may come later in the same load, so what is missing waits until the end.
type crossChecks struct {
	directory  store.Directory
	maxPending int // references that may wait

	seed         maphash.Seed
	pending      map[uint64]*pendingRef // the last one, by the hash of the target
	pendingCount int                    // of waiters
	sequence     int
	origins      map[origin]*origin
	hpiiOwners   map[uint64]uint64 // hash of an HPI-I to that of its Practitioner's id
}

// pendingRef is a reference to what is not in the directory, or not yet. There may be
// a million, so it is small.
type pendingRef struct {
	sequence int // in the source
	line     int
	id       string
	origin   *origin
	next     *pendingRef // that waits for the same target
}

// origin is what many waiters have in common.
type origin struct {
	file   string
	t      fhir.Type
	member string
	to     string // type of the target
}

func newCrossChecks(directory store.Directory) *crossChecks {
	return &crossChecks{directory: directory, maxPending: maxPending, seed: maphash.MakeSeed(), pending: map[uint64]*pendingRef{}, hpiiOwners: map[uint64]uint64{}}
}

// batch takes in what was just written, and says what is wrong with it in the
// order of the source.
func (a *crossChecks) check(ctx context.Context, list []committed, say func(Rejected) error) error {
	present, err := a.presentTargets(ctx, list)
	if err != nil {
		return err
	}
	for i := range list {
		l := &list[i]
		a.resolve(l)
		for _, w := range l.warnings {
			if err := say(l.warning(w.kind, w.reason)); err != nil {
				return err
			}
		}
		if a.sharesHPII(l) {
			if err := say(l.warning(SharedHPII, "identifier: another Practitioner of this load has the same HPI-I")); err != nil {
				return err
			}
		}
		for _, link := range l.links {
			if present[link.to] {
				continue
			}
			if a.pendingCount == a.maxPending {
				if err := say(l.warning(NotFollowed, link.member+": too many references wait for resources further on; load in the order "+fhir.Names(fhir.Types()))); err != nil {
					return err
				}
				continue
			}
			a.addPending(l, link)
		}
	}
	return nil
}

// targets looks up what the resources refer to.
func (a *crossChecks) presentTargets(ctx context.Context, list []committed) (map[fhir.Reference]bool, error) {
	present := map[fhir.Reference]bool{}
	ids := map[fhir.Type][]string{}
	for i := range list {
		for _, link := range list[i].links {
			if _, asked := present[link.to]; asked {
				continue
			}
			present[link.to] = false
			if t, ok := fhir.ParseType(link.to.Type); ok {
				ids[t] = append(ids[t], link.to.ID)
			}
		}
	}
	for t, asked := range ids {
		there, err := a.directory.Present(ctx, t, asked)
		if err != nil {
			return nil, err
		}
		for id := range there {
			present[fhir.Reference{Type: t.String(), ID: id}] = true
		}
	}
	return present, nil
}

// arrive lets those go on that waited for the resource.
func (a *crossChecks) resolve(l *committed) {
	if len(a.pending) == 0 {
		return
	}
	key := a.hash(fhir.Reference{Type: l.t.String(), ID: l.id})
	for w := a.pending[key]; w != nil; w = w.next {
		a.pendingCount--
	}
	delete(a.pending, key)
}

func (a *crossChecks) addPending(l *committed, link link) {
	key := a.hash(link.to)
	a.sequence++
	a.pendingCount++
	a.pending[key] = &pendingRef{a.sequence, l.line, l.id, a.originOf(l, link), a.pending[key]}
}

// origin returns one origin for all waiters that have it in common.
func (a *crossChecks) originOf(l *committed, link link) *origin {
	of := origin{l.file, l.t, link.member, link.to.Type}
	known, ok := a.origins[of]
	if !ok {
		if a.origins == nil || len(a.origins) == 1000 { // so many are rare; old ones stay as long as their waiters
			a.origins = map[origin]*origin{}
		}
		of.to = strings.Clone(of.to) // it is a part of the whole reference
		known = &of
		a.origins[of] = known
	}
	return known
}

// end says which references lead nowhere, in the order of the source.
func (a *crossChecks) reportDangling(say func(Rejected) error) error {
	left := make([]*pendingRef, 0, a.pendingCount)
	for _, w := range a.pending {
		for ; w != nil; w = w.next {
			left = append(left, w)
		}
	}
	slices.SortFunc(left, func(x, y *pendingRef) int { return x.sequence - y.sequence })
	for _, w := range left {
		l := committed{file: w.origin.file, line: w.line, t: w.origin.t, id: w.id}
		if err := say(l.warning(Dangling, w.origin.member+": the "+w.origin.to+" it refers to is not in the directory")); err != nil {
			return err
		}
	}
	return nil
}

// sharesHPII tells whether an earlier Practitioner has an HPI-I of this one
// . Beyond maxHPII numbers, those that come later are not remembered.
func (a *crossChecks) sharesHPII(l *committed) (shares bool) {
	for _, value := range l.hpii {
		number, self := maphash.String(a.seed, value), maphash.String(a.seed, l.id)
		owner, known := a.hpiiOwners[number]
		switch {
		case known && owner != self:
			shares = true
		case !known && len(a.hpiiOwners) < maxHPII:
			a.hpiiOwners[number] = self
		}
	}
	return shares
}

func (a *crossChecks) hash(r fhir.Reference) uint64 { return maphash.String(a.seed, r.Type+"/"+r.ID) }
