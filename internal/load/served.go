package load

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// A resource that inherits a state shows it like one of its own. So the export of a directory, if it
// is loaded, would turn inherited states into own ones, which no change of an owner ends. This file
// recognises such versions.

// MaybeInherited is the kind of refusal for a version that a directory has served and whose state
// it may have inherited there.
const MaybeInherited Kind = "state that may be inherited"

// servedVersion is a version that a directory may have served, with a state that it may have
// inherited there.
type servedVersion struct {
	store.Version
	state index.Visibility // the flags that it may have inherited
	// derived says that it has the local identifier that only a directory derives. So some
	// directory has served it.
	derived bool
}

// servedVersionOf returns the version that the resource v was, nil if it cannot have been served by
// a directory, or if its state is certainly its own. versionID and lastUpdated are those of its meta.
func servedVersionOf(t fhir.Type, id string, v, versionID, lastUpdated *fastjson.Value, localIDs []string) *servedVersion {
	if versionID == nil || lastUpdated == nil {
		return nil
	}
	state := policy.MayInherit(t, v)
	if state == 0 {
		return nil
	}
	number, err := strconv.ParseInt(string(versionID.GetStringBytes()), 10, 64)
	if err != nil {
		return nil
	}
	text := string(lastUpdated.GetStringBytes())
	at, err := fhir.ParseInstant(text)
	if err != nil || at.String() != text {
		return nil
	}
	return &servedVersion{store.Version{Type: t, ID: id, Number: number, LastUpdated: at}, state, slices.Contains(localIDs, LocalIdentifier(t, id))}
}

// held is an accepted resource that may have been served. What becomes of it is known when its change
// is applied.
type held struct {
	refused       // how it is refused
	accepted int  // its index in batch.accepted
	refuses  bool // it is refused
	served   *servedVersion
	// inherited are the flags that the version, as this directory wrote it, had from others alone.
	inherited index.Visibility
	hash      [16]byte
}

// hold replaces the changes of versions that a directory has served by revisions, which compare them
// with the current versions.
func (l *loader) hold(ctx context.Context, b *batch) ([]*held, error) {
	var versions []store.Version
	var at []int
	for n := range b.accepted {
		if served := b.accepted[n].served; served != nil {
			versions, at = append(versions, served.Version), append(at, n)
		}
	}
	if len(versions) == 0 {
		return nil, nil
	}
	recalled, err := l.Directory.Recall(ctx, versions)
	if err != nil {
		return nil, err
	}
	var list []*held
	for i, n := range at {
		of := &b.accepted[n]
		known := recalled[i]
		here := known.Current || known.What != 0
		if !here && !of.served.derived {
			continue // its source may have versions too
		}
		c := &b.changes[of.change]
		h := &held{accepted: n, served: of.served, inherited: known.What.Inherited(), hash: c.SourceHash, refused: refused{
			change: of.change, order: of.change,
			Rejected: Rejected{File: of.file, Line: of.line, Type: of.t.String(), ID: of.id, Reason: servedReason(here), Kind: MaybeInherited},
		}}
		c.Revise = l.hider.reviseServed(h, *c)
		list = append(list, h)
	}
	return list, nil
}

// servedReason returns why a version is refused that this directory has served, or another one.
func servedReason(here bool) string {
	const why = "has served this version of the resource, whose state may be inherited: a load would make it the resource's own"
	if here {
		return "this directory " + why + ": load the source of the resource"
	}
	return "a directory " + why + ": load the source of the resource, or leave out meta.versionId if the state is its own"
}

// reviseServed returns the Revise function of the change put to a version that a directory has served:
//
//   - The current version, if the resource inherits nothing: the state is its own, and it is put.
//   - The current version as it was served: nothing changes.
//   - Any other version is refused. It hides the stored one, except by flags of which it is known
//     that the version had them from others alone when this directory wrote it.
func (h *hider) reviseServed(r *held, put store.Change) func(store.Current, *store.Change) (bool, error) {
	return func(current store.Current, c *store.Change) (bool, error) {
		r.refuses, r.Stored = false, ""
		if current.Version == r.served.Number && current.LastUpdated == r.served.LastUpdated {
			if bytes.Equal(current.Line, current.Served) {
				c.Document, c.SourceHash, c.Visibility, c.Entries = put.Document, put.SourceHash, put.Visibility, put.Entries
				return true, nil
			}
			same, err := h.isServed(current.Served, r.hash)
			if err != nil || same {
				return false, err
			}
		}
		r.refuses = true
		r.hiddenBy = r.served.state &^ r.inherited &^ current.Visibility
		return h.hideOlder(&r.refused, current, c)
	}
}

// isServed reports whether a stored line has the content with the hash.
func (h *hider) isServed(line []byte, hash [16]byte) (bool, error) {
	v, err := h.parser.ParseBytes(line)
	if err != nil {
		return false, fmt.Errorf("the stored line is damaged: run 'muster check': %w", err)
	}
	dropVersion(v)
	return h.hasher.hash(v) == hash, nil
}

// settle moves the held resources that were refused from the accepted ones to the refused ones.
func (b *batch) settle(list []*held, outcomes []store.Outcome) {
	gone := map[int]bool{} // indices of accepted
	for _, h := range list {
		if h.change < len(outcomes) && (h.refuses || outcomes[h.change] == store.Absent) {
			gone[h.accepted] = true
			b.refused = append(b.refused, h.refused)
		}
	}
	if len(gone) == 0 {
		return
	}
	slices.SortStableFunc(b.refused, func(x, y refused) int { return x.order - y.order })
	kept := b.accepted[:0]
	for n := range b.accepted {
		if !gone[n] {
			kept = append(kept, b.accepted[n])
		}
	}
	b.accepted = kept
}
