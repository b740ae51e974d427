package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"muster/internal/auth"
	"muster/internal/damage"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/search/plan"
)

// Request is a valid kick-off: one filter for each type, in the order of the types in the
// request, and the instant from which a delta starts.
type Request struct {
	Filters []search.Filter
	Since   *fhir.Instant // nil for a full export; any instant, including 1970, starts a delta

	// WithoutSuppressed excludes suppressed resources from a delta. A full export only holds
	// those that a filter asks for.
	WithoutSuppressed bool

	// Covered are the types that the client reached at the kick-off. The export holds no Provenance
	// about another one, whatever a later token of the client covers.
	Covered fhir.TypeSet

	// RemovalList says where the manifest lists the removal List of a delta. Other exports have
	// none.
	RemovalList RemovalList
	// suppressed are the plans of what the removal List names. [Service.request] sets them.
	suppressed []plan.Plan

	// TrackMembership says what leaves and enters the filters (track-membership).
	TrackMembership bool
	// members are the plans of what a full export with the filters holds. [Service.request] sets
	// them.
	members []plan.Plan
}

// firstSince is the earliest _since that a client can have got from an export.
const firstSince fhir.Instant = 946_684_800_000 // 2000-01-01T00:00:00Z

// HoldsNothing reports whether the client says with a _since before 2000 that it holds nothing
// yet. Its export has nothing that the client would have to delete.
func (r Request) HoldsNothing() bool { return r.Since != nil && *r.Since < firstSince }

// updatesCopy reports whether the export updates a copy that the client holds.
func (r Request) updatesCopy() bool { return r.Since != nil && !r.HoldsNothing() }

// Rules configure [ParseRequest]. [DefaultRules] returns those of the guide.
type Rules struct {
	// LenientMissingTypeFilter exports all resources of a type without a filter. The guide
	// rejects such a request.
	LenientMissingTypeFilter bool
	// CompatOutputFormat accepts requests without _outputFormat and with other names of
	// NDJSON (KO-20, A-22).
	CompatOutputFormat bool
	// ProvenanceTypeTestFilter accepts Provenance?target.resolve().as(Type), the
	// form of the guide's example.
	ProvenanceTypeTestFilter bool
	// Covered are the types that the client reached at the kick-off. The export holds no Provenance
	// about another one, whatever a later token of the client covers.
	Covered fhir.TypeSet

	// RemovalList says where manifests list the removal List (RM-04). Defaults to
	// RemovalListOff.
	RemovalList RemovalList
}

// DefaultRules returns the rules of the guide.
func DefaultRules() Rules {
	return Rules{ProvenanceTypeTestFilter: true, RemovalList: RemovalListOutput}
}

// storedRequest is the JSON of a request in the row of its job.
type storedRequest struct {
	Filters []string      `json:"filters"`
	Since   *fhir.Instant `json:"since,omitempty"` // ms since 1970; absent for a full export
	Base    string        `json:"base,omitempty"`  // base URL at the kick-off, which filters may contain

	WithoutSuppressed bool        `json:"withoutSuppressed,omitempty"`
	RemovalList       RemovalList `json:"removalList,omitempty"`
	TrackMembership   bool        `json:"trackMembership,omitempty"`

	// AsksSuppressed is set for a full export with a filter that asks for suppressed resources.
	AsksSuppressed bool `json:"asksSuppressed,omitempty"`
	// Covered are the types of Request.Covered, and Reaches those about which the files tell
	// something. Absent for all types.
	Covered []string `json:"covered,omitempty"`
	Reaches []string `json:"reaches,omitempty"`

	// Checksum is that of the JSON without it, in hex. Jobs of older programs have none.
	Checksum string `json:"checksum,omitempty"`
}

// sum returns the checksum of the request.
func (r storedRequest) sum() (string, error) {
	r.Checksum = ""
	text, err := json.Marshal(r)
	return strconv.FormatUint(uint64(damage.Of(text)), 16), err
}

// encode returns the request for the row of its job. base is the base URL of the server. The
// server that does the work may have another one.
func (r Request) encode(base string) ([]byte, error) {
	stored := storedRequest{Since: r.Since, Base: base, WithoutSuppressed: r.WithoutSuppressed, RemovalList: r.RemovalList, TrackMembership: r.TrackMembership, Covered: storedTypes(r.Covered)}
	var reaches fhir.TypeSet
	for _, f := range r.Filters {
		stored.Filters = append(stored.Filters, f.Text())
		stored.AsksSuppressed = stored.AsksSuppressed || r.Since == nil && !f.Plan.Visible().NotSuppressed
		reaches |= f.Reaches
	}
	stored.Reaches = storedTypes(reaches)
	var err error
	if stored.Checksum, err = stored.sum(); err != nil {
		return nil, err
	}
	return json.Marshal(stored)
}

// withoutFilters returns the request without its filters.
func (r storedRequest) withoutFilters() Request {
	return Request{Since: r.Since, WithoutSuppressed: r.WithoutSuppressed, RemovalList: r.RemovalList, TrackMembership: r.TrackMembership, Covered: readTypes(r.Covered)}
}

// storedTypes returns the names of types, none for all types.
func storedTypes(types fhir.TypeSet) (names []string) {
	if types == fhir.AllTypes() {
		return nil
	}
	for _, t := range types.Types() {
		names = append(names, t.String())
	}
	return names
}

// readTypes reads the result of storedTypes.
func readTypes(names []string) (types fhir.TypeSet) {
	if len(names) == 0 {
		return fhir.AllTypes()
	}
	for _, name := range names {
		t, _ := fhir.ParseType(name)
		types |= fhir.TypesOf(t)
	}
	return types
}

// StoredParameters returns the filters and _since of the request in the row of a job.
func StoredParameters(request []byte) (filters []string, since *fhir.Instant, err error) {
	stored, err := readStored(request)
	return stored.Filters, stored.Since, err
}

const damagedRequest = "the stored request of an export does not match its checksum: check the disk, and start the export again"

// readStored parses the result of encode without compiling the filters.
func readStored(text []byte) (stored storedRequest, err error) {
	if err := json.Unmarshal(text, &stored); err != nil {
		return storedRequest{}, &damage.Error{Kind: damage.Selection, Err: err, Text: damagedRequest}
	}
	if stored.Checksum == "" {
		return stored, nil
	}
	if sum, err := stored.sum(); err != nil || sum != stored.Checksum {
		return storedRequest{}, &damage.Error{Kind: damage.Selection, Err: err, Text: damagedRequest}
	}
	return stored, nil
}

// decodeRequest parses and compiles the result of encode. may is the most that the client may learn
// of suppressed resources now. The types are those of the kick-off.
func decodeRequest(text []byte, c *search.Compiler, may policy.Suppressed) (Request, error) {
	stored, err := readStored(text)
	if err != nil {
		return Request{}, err
	}
	if stored.Since != nil && !stored.WithoutSuppressed && !may.InDeltas() {
		return Request{}, errors.New("the export would hold suppressed resources, which this client may no longer see: start a new export")
	}
	r := stored.withoutFilters()
	access := policy.Access{Interaction: auth.Export, Types: r.Covered, Suppressed: may}
	c = c.At(stored.Base)
	for _, text := range stored.Filters {
		f, err := c.ExportFilter(text, search.Export{May: access, Since: stored.Since, WithoutSuppressed: stored.WithoutSuppressed})
		if err != nil {
			return Request{}, fmt.Errorf("read stored filter %s: %w", text, err)
		}
		r.Filters = append(r.Filters, f)
		if !r.TrackMembership {
			continue
		}
		full, err := c.ExportFilter(text, search.Export{May: access})
		if err != nil {
			return Request{}, fmt.Errorf("read stored filter %s: %w", text, err)
		}
		r.members = append(r.members, full.Plan)
	}
	r.suppressed, err = r.planRemovalList(c)
	return r, err
}
