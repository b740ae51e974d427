package export

import (
	"encoding/json"
	"errors"
	"fmt"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search"
)

// Request is a validated kick-off: one filter for each type, in the order of the
// types in the request, and the moment that a delta starts from.
type Request struct {
	Filters []search.Filter
	Since   *fhir.Instant // nil for a full export; any moment, 1970 too, asks for a delta

	// WithoutSuppressed leaves suppressed resources out of a delta. A full export never
	// holds one that was not asked for.
	WithoutSuppressed bool
}

// Rules are the switches of reading a request. [DefaultRules] are those of the
// guide.
type Rules struct {
	// LenientMissingTypeFilter exports a type without a filter as a whole, where
	// the guide refuses it.
	LenientMissingTypeFilter bool
	// CompatOutputFormat accepts a request without _outputFormat and the other
	// spellings of NDJSON (KO-20, A-22).
	CompatOutputFormat bool
	// ProvenanceTypeTestFilter accepts Provenance?target.resolve().as(Type), the
	// form of the guide's example.
	ProvenanceTypeTestFilter bool
}

// DefaultRules returns the rules of the guide.
func DefaultRules() Rules { return Rules{ProvenanceTypeTestFilter: true} }

// storedRequest is a request as the job row keeps it.
type storedRequest struct {
	Filters []string      `json:"filters"`
	Since   *fhir.Instant `json:"since,omitempty"` // ms since 1970; absent for a full export

	WithoutSuppressed bool `json:"withoutSuppressed,omitempty"`
}

// encode writes the request for the job row.
func (r Request) encode() ([]byte, error) {
	stored := storedRequest{Since: r.Since, WithoutSuppressed: r.WithoutSuppressed}
	for _, f := range r.Filters {
		stored.Filters = append(stored.Filters, f.Text())
	}
	return json.Marshal(stored)
}

// readStored reads what encode has written, without compiling the filters.
func readStored(text []byte) (stored storedRequest, err error) {
	if err := json.Unmarshal(text, &stored); err != nil {
		return storedRequest{}, fmt.Errorf("reading a stored request: %w", err)
	}
	return stored, nil
}

// decodeRequest reads what encode has written, for a client that may learn so much of
// suppressed resources today.
func decodeRequest(text []byte, c *search.Compiler, may policy.Suppressed) (Request, error) {
	stored, err := readStored(text)
	if err != nil {
		return Request{}, err
	}
	if stored.Since != nil && !stored.WithoutSuppressed && !may.InDeltas() {
		return Request{}, errors.New("the export was to hold suppressed resources, which this client may not see any more: start it again")
	}
	r := Request{Since: stored.Since, WithoutSuppressed: stored.WithoutSuppressed}
	for _, text := range stored.Filters {
		f, err := c.ExportFilter(text, search.Export{May: may, Since: stored.Since, WithoutSuppressed: stored.WithoutSuppressed})
		if err != nil {
			return Request{}, fmt.Errorf("reading the stored filter %s: %w", text, err)
		}
		r.Filters = append(r.Filters, f)
	}
	return r, nil
}
