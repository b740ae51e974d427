package load

import (
	"fmt"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// Stored says what became of the older version of a resource that was refused.
type Stored string

// What can become of an older version. The empty value means that there is none.
const (
	StillServed   Stored = "still served"   // it is visible, and stays so
	AlreadyHidden Stored = "already hidden" // it was hidden before
	NowHidden     Stored = "now hidden"     // by a new version, since the refused one says that it is hidden
)

// Older is an older version that stays in place since a newer one was refused.
type Older struct {
	Type, ID string
	Stored   Stored
}

// maxOlder is how many older versions a summary names, so that its memory has a bound.
// The rejects name all.
const maxOlder = 10_000

// hider hides older versions of refused resources. It serves one goroutine.
type hider struct {
	writer
	parser fastjson.Parser
	arena  fastjson.Arena
}

// revision is the change for a refused resource: the stored version gets the flags by
// which the refused one says that it is hidden (SU-01). A new version carries them, so
// that deltas tell who holds a copy. What is stored is noted in the refusal.
func (h *hider) revise(r *refused) func(store.Current, *store.Change) (bool, error) {
	return func(current store.Current, c *store.Change) (bool, error) {
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
}

// hide makes the version of a stored line that is hidden by the flags too. It reports
// false when the line is so already.
func (h *hider) hide(t fhir.Type, id string, line []byte, hides index.Visibility) (c store.Change, changed bool, err error) {
	v, err := h.parser.ParseBytes(line)
	if err != nil {
		return c, false, fmt.Errorf("its stored line is damaged: run 'muster check': %w", err)
	}
	h.arena.Reset()
	before := policy.OwnState(t, v)
	policy.Hide(&h.arena, t, v, hides)
	if policy.OwnState(t, v) == before {
		return c, false, nil
	}
	dropVersion(v)
	c, refusal := h.write(t, id, v)
	if refusal != nil { // a few bytes too many: then it goes without anything but its name
		return h.hiddenStub(t, id, hides)
	}
	return c, true, nil
}

// bare makes a hidden version that holds nothing else, for a resource that is as large as
// one can be.
func (h *hider) hiddenStub(t fhir.Type, id string, hides index.Visibility) (store.Change, bool, error) {
	v := h.arena.NewObject()
	policy.Hide(&h.arena, t, v, hides)
	c, refusal := h.write(t, id, v)
	if refusal != nil {
		return c, false, refusal
	}
	return c, true, nil
}
