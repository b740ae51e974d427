package check

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"muster/internal/fhir"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// references finds the references whose targets are not in the directory. It holds the hash
// of each resource, 8 bytes, and the references to types that are read later. With 64 bits,
// the chance that one of ten million references is not found because of equal hashes is one
// in a million.
type references struct {
	bases    []string
	seed     maphash.Seed
	known    map[fhir.Type][]uint64 // hashes of ids; sorted when the type is in read
	read     map[fhir.Type]bool
	last     map[fhir.Type]store.RowKey    // the last key that has a resource
	waiting  map[fhir.Type][]danglingMaybe // by the type of the target
	missing  []danglingMaybe               // not found among the resources of a type
	dangling map[referenceKind]*danglingCount
}

// referenceKind is what references in one note have in common.
type referenceKind struct {
	from   fhir.Type
	member string // of the resource that has the reference
	to     string // type of the target, "#" for a contained resource, or "" for a urn:
}

// danglingCount counts dangling references of a kind.
type danglingCount struct {
	n       int64
	example string // id of the resource that has the first one
}

// danglingMaybe is a reference whose target was not found yet.
type danglingMaybe struct {
	kind   referenceKind
	from   string // id of the resource that has it
	target uint64 // hash of the target's id
}

// These limits bound the memory for directories in which nearly all references dangle.
const (
	maxMissing = 1 << 20 // references that are verified again at the end
	maxKinds   = 1000
)

func newReferences(bases []string) *references {
	return &references{
		bases: bases, seed: maphash.MakeSeed(), known: map[fhir.Type][]uint64{}, read: map[fhir.Type]bool{}, last: map[fhir.Type]store.RowKey{},
		waiting: map[fhir.Type][]danglingMaybe{}, dangling: map[referenceKind]*danglingCount{},
	}
}

// addResource adds a stored resource as a possible target.
func (r *references) addResource(key store.RowKey, id string) {
	t := key.Type()
	r.known[t] = append(r.known[t], maphash.String(r.seed, id))
	r.last[t] = max(r.last[t], key)
}

// addReferences adds the references of a resource.
func (r *references) addReferences(t fhir.Type, id string, v *fastjson.Value) {
	contained := fhir.ContainedIDs{In: v}
	fhir.EachReference(v, func(member []byte, _ *fastjson.Value, text []byte) {
		kind := referenceKind{from: t, member: string(member)}
		to, err := fhir.ParseReference(string(text), r.bases...)
		if err != nil {
			switch {
			case contained.Lack(string(text)):
				kind.to = "#"
				r.count(kind, id)
			case fhir.IsURN(string(text)):
				r.count(kind, id)
			}
			return
		}
		kind.to = to.Type
		target, known := fhir.ParseType(to.Type)
		switch maybe := (danglingMaybe{kind, id, maphash.String(r.seed, to.ID)}); {
		case !known:
			r.count(kind, id)
		case !r.read[target]:
			r.waiting[target] = append(r.waiting[target], maybe)
		default:
			r.look(target, maybe)
		}
	})
}

// finish is called when all resources of a type were added.
func (r *references) finish(t fhir.Type) {
	slices.Sort(r.known[t])
	r.read[t] = true
	for _, maybe := range r.waiting[t] {
		r.look(t, maybe)
	}
	delete(r.waiting, t)
}

// look adds a reference to those whose target is missing, unless the type has the target.
func (r *references) look(t fhir.Type, maybe danglingMaybe) {
	if r.has(t, maybe.target) {
		return
	}
	if len(r.missing) == maxMissing {
		r.count(maybe.kind, maybe.from)
		return
	}
	r.missing = append(r.missing, maybe)
}

func (r *references) has(t fhir.Type, target uint64) bool {
	_, found := slices.BinarySearch(r.known[t], target)
	return found
}

// count counts a dangling reference.
func (r *references) count(kind referenceKind, from string) {
	of := r.dangling[kind]
	if of == nil {
		if len(r.dangling) >= maxKinds {
			kind.member = "…"
			of = r.dangling[kind]
		}
		if of == nil {
			of = &danglingCount{example: from}
			r.dangling[kind] = of
		}
	}
	of.n++
}

// checkReferences reports the dangling references. A reference is not an error of the
// directory: its target may come with a later load. Resources that were created meanwhile
// have higher keys than all that were read, so they are read first.
func (k *checker) checkReferences(ctx context.Context, r *references) error {
	if len(r.missing) > 0 {
		for _, t := range fhir.Types() {
			if err := k.readNew(ctx, r, t); err != nil {
				return err
			}
		}
	}
	for _, maybe := range r.missing {
		if t, _ := fhir.ParseType(maybe.kind.to); !r.has(t, maybe.target) {
			r.count(maybe.kind, maybe.from)
		}
	}
	kinds := slices.SortedFunc(maps.Keys(r.dangling), func(x, y referenceKind) int {
		return cmp.Or(cmp.Compare(x.from, y.from), cmp.Compare(x.member, y.member), cmp.Compare(x.to, y.to))
	})
	for _, kind := range kinds {
		of := r.dangling[kind]
		problem, remedy := "by a urn:, which nothing in a directory has", "load the Bundle that has both resources as entries, so that the reference becomes Type/id"
		switch kind.to {
		case "":
		case "#":
			problem, remedy = "to a contained resource that is not there", "correct the source, and load the resource again"
		default:
			problem, remedy = "to "+article(kind.to)+" that is not in the directory", "load the missing resources"
		}
		k.note("dangling", kind.from.String()+"."+kind.member,
			fmt.Sprintf("%s %s, such as that of %v/%s", plural(of.n, "reference", "references"), problem, kind.from, of.example), remedy)
	}
	return nil
}

// article returns a type with its indefinite article.
func article(typeName string) string {
	if strings.ContainsAny(typeName[:1], "AEIOU") {
		return "an " + typeName
	}
	return "a " + typeName
}

// readNew adds the resources of a type that were created since it was read.
func (k *checker) readNew(ctx context.Context, r *references, t fhir.Type) error {
	first, last := store.KeyRange(t)
	for first = max(first, r.last[t]+1); first <= last; {
		excerpt, err := k.Store.Excerpt(ctx, first, last, excerptRows)
		if err != nil {
			return err
		}
		for _, s := range excerpt.Records {
			if s.Row != nil {
				r.addResource(s.Key, s.Row.ID)
			}
		}
		first = excerpt.Through + 1
	}
	slices.Sort(r.known[t])
	return nil
}
