package export

import (
	"context"
	"slices"
	"strings"

	"muster/internal/auth"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/store"
)

// The principal of each request is that of its own token. So the types of a job and its suppressed
// resources are compared with every poll, download and DELETE, while the worker has no token: what it
// selects is fixed at the kick-off.

// access returns what the client in ctx may learn by exports.
func (s *Service) access(ctx context.Context) policy.Access {
	return s.Suppressed.Access(auth.From(ctx), auth.Export)
}

// checkTypes returns a fhir.Issue with the code forbidden if the client does not reach all types
// about which the files of a job tell something (RS-03). If the stored request is damaged, these are
// all types.
func (s *Service) checkTypes(ctx context.Context, j store.Job) error {
	stored, err := readStored(j.Request)
	if err != nil {
		stored.Reaches = nil
	}
	return s.access(ctx).Check(readTypes(stored.Reaches))
}

// errSuppressed is returned for the files of an export that may hold suppressed resources, if the
// client may no longer see them.
var errSuppressed = fhir.Issue{Code: fhir.CodeForbidden,
	Diagnostics: "This export may hold suppressed resources, which this client may no longer see: delete the export, and start a new one without the parameter suppressed."}

// checkSuppressed returns [errSuppressed] if the files of a job may hold suppressed resources that
// the client may not see: its policy can have changed since the kick-off.
func (s *Service) checkSuppressed(ctx context.Context, j store.Job) error {
	stored, err := readStored(j.Request)
	if err != nil {
		return err
	}
	may := s.access(ctx).Suppressed
	inDelta := stored.Since != nil && !stored.WithoutSuppressed
	if inDelta && !may.InDeltas() || stored.AsksSuppressed && !may.MayBeAskedFor() {
		return errSuppressed
	}
	return nil
}

// mayListRemoved reports whether the client may learn that a Provenance was removed: it reaches all
// types, or is known to hold it.
func (r Request) mayListRemoved(held *tracking, removed store.Removal) bool {
	return r.Covered == fhir.AllTypes() || held != nil && held.before.Contains(uint64(removed.Key))
}

// omitsRemoved reports whether removed Provenances are left out: the client does not reach all types,
// and what it holds is not known.
func (r storedRequest) omitsRemoved(m store.Membership) bool {
	request := r.withoutFilters()
	known := request.TrackMembership && m != store.MembershipUnknown
	isOfProvenance := func(filter string) bool { return strings.HasPrefix(filter, fhir.Provenance.String()+"?") }
	return request.updatesCopy() && !known && request.Covered != fhir.AllTypes() && slices.ContainsFunc(r.Filters, isOfProvenance)
}
