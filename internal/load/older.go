package load

import (
	"fmt"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// Stored is the state of the older version of a refused resource.
type Stored string

// The states of an older version. The empty value means that there is none.
const (
	StillServed   Stored = "still served"   // it is visible
	AlreadyHidden Stored = "already hidden" // it was hidden before
	NowHidden     Stored = "now hidden"     // a new version hides it, since the refused one says that it is hidden
)

// Older is an older version that stays because a newer one was refused.
type Older struct {
	Type, ID string
	Stored   Stored
}

// maxOlder is the number of older versions that a summary lists. It bounds the memory of a
// summary. The rejects list all of them.
const maxOlder = 10_000

// hider hides older versions of refused resources. It serves one goroutine.
type hider struct {
	writer
	parser fastjson.Parser
	arena  fastjson.Arena
}

// revise returns the Revise function of the change for a refused resource. It gives the
// stored version the flags by which the refused one says that it is hidden (SU-01). The
// flags are written in a new version, so that deltas deliver them to clients with a copy.
// The function sets the Stored field of the refusal.
func (h *hider) revise(r *refused) func(store.Current, *store.Change) (bool, error) {
	return func(current store.Current, c *store.Change) (bool, error) { return h.hideOlder(r, current, c) }
}

// hideOlder makes c the version that hides the current one as the refused one says, and sets the
// Stored field of the refusal. It reports false if nothing changes.
func (h *hider) hideOlder(r *refused, current store.Current, c *store.Change) (bool, error) {
	r.Stored = StillServed
	if !policy.Readable(current.Visibility) {
		r.Stored = AlreadyHidden
	}
	if r.hiddenBy == 0 {
		return false, nil
	}
	next, changed, err := h.hide(c.Type, c.ID, current.Line, r.hiddenBy)
	if err != nil || !changed {
		return false, err
	}
	if r.Stored == StillServed {
		r.Stored = NowHidden
	}
	c.Document, c.SourceHash, c.Visibility, c.Entries = next.Document, next.SourceHash, next.Visibility, next.Entries
	return true, nil
}

// hide returns a version of a stored line with the flags of hides set. It reports false if
// the line has them already.
func (h *hider) hide(t fhir.Type, id string, line []byte, hides index.Visibility) (c store.Change, changed bool, err error) {
	v, err := h.parser.ParseBytes(line)
	if err != nil {
		return c, false, fmt.Errorf("the stored line is damaged: run 'muster check': %w", err)
	}
	h.arena.Reset()
	before := policy.OwnState(t, v)
	policy.Hide(&h.arena, t, v, hides)
	if policy.OwnState(t, v) == before {
		return c, false, nil
	}
	dropVersion(v)
	c, refusal := h.write(t, id, v)
	if refusal != nil { // the flags made it too large
		return h.hiddenStub(t, id, hides)
	}
	return c, true, nil
}

// hiddenStub returns a hidden version without other content, for a resource of the maximum
// size.
func (h *hider) hiddenStub(t fhir.Type, id string, hides index.Visibility) (store.Change, bool, error) {
	v := h.arena.NewObject()
	policy.Hide(&h.arena, t, v, hides)
	c, refusal := h.write(t, id, v)
	if refusal != nil {
		return c, false, refusal
	}
	return c, true, nil
}
