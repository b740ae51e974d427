package policy

import (
	"slices"

	"muster/internal/auth"
	"muster/internal/conformance"
	"muster/internal/search/bound"
	"muster/internal/search/query"
)

// Suppressed says what one client may learn of suppressed resources. Each value
// allows what the values before it allow; the zero value allows nothing.
type Suppressed uint8

// The values.
const (
	// SuppressedHidden: the client may not ask for them, and its deltas do not hold them.
	SuppressedHidden Suppressed = iota
	// SuppressedInDeltas: the client may not ask for them, but its deltas hold them (VI-10).
	SuppressedInDeltas
	// SuppressedOffered: the client may ask for them, and its deltas hold them.
	SuppressedOffered
)

// SuppressedRules are an operator's switches for who may learn of suppressed resources. The
// zero value is the strictest.
type SuppressedRules struct {
	Search bool // clients may ask for them
	Local  bool // the server can be reached from this machine only
}

// For returns what a client may learn. Its own policy can only allow less than the rules.
func (r SuppressedRules) For(p auth.Principal) Suppressed {
	if p.Policy.HideSuppressed {
		return SuppressedHidden
	}
	return r.Allow(p.Authenticated())
}

// Allow returns the most that a client may learn, whatever its own policy says.
func (r SuppressedRules) Allow(authenticated bool) Suppressed {
	switch {
	case !r.Local && !authenticated:
		return SuppressedHidden
	case !r.Search:
		return SuppressedInDeltas
	}
	return SuppressedOffered
}

// MayBeAskedFor reports whether the client may ask for suppressed resources.
func (s Suppressed) MayBeAskedFor() bool { return s >= SuppressedOffered }

// InDeltas reports whether exports with _since hold suppressed resources.
func (s Suppressed) InDeltas() bool { return s >= SuppressedInDeltas }

// refuses reports whether the client may not ask a term because it asks for suppressed
// resources, and where. A term asks for them when it names the parameter suppressed, also
// at the end of a chain or reverse chain, with a modifier or with any value but false: a
// step discloses the state of the resource behind it.
func (s Suppressed) refuses(t bound.Term) (at query.Span, refused bool) {
	c, ok := t.End.(bound.Criterion)
	if s.MayBeAskedFor() || !ok || c.Empty() || !namesSuppressed(c) {
		return query.Span{}, false
	}
	return c.NameAt, c.Modifier != "" || slices.ContainsFunc(c.Values, notFalse)
}

// namesSuppressed reports whether a criterion has the name of the parameter suppressed, or
// another name of it. Without a definition the name alone counts.
func namesSuppressed(c bound.Criterion) bool {
	return c.Name == suppressedParam || slices.ContainsFunc(c.Params, func(p conformance.Param) bool { return p.Code == suppressedParam })
}

func notFalse(v query.Value) bool { return len(v.Parts) != 1 || v.Parts[0] != "false" }
