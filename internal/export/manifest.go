package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"muster/internal/store"
)

// manifest is the completion manifest (MA-01 to MA-09).
type manifest struct {
	TransactionTime     string   `json:"transactionTime"`
	Request             string   `json:"request"`
	RequiresAccessToken bool     `json:"requiresAccessToken"`
	Output              []output `json:"output"`
	Deleted             []output `json:"deleted,omitempty"`
	Error               []output `json:"error"`
	Message             string   `json:"message,omitempty"`

	Extension *extension `json:"extension,omitempty"`
}

// extension is the member for what Bulk Data does not define (MA-09).
type extension struct {
	RemovalList []output `json:"removalList,omitempty"`
}

// output is one file.
type output struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Count int64  `json:"count"`
}

// manifest returns the manifest of a Complete job, generated from its rows. Files are in
// the order of the types in the request. The same rows give the same bytes.
func (s *Service) manifest(job store.Job, parts []store.Part) ([]byte, error) {
	stored, err := readStored(job.Request)
	if err != nil {
		return nil, err
	}
	request := stored.withoutFilters()
	var more extension
	m := manifest{
		TransactionTime:     job.Time.Format(s.Zone),
		Request:             s.BaseURL + "/$export",
		RequiresAccessToken: s.RequiresAccessToken,
		Output:              []output{},
		Error:               []output{},
	}
	for _, p := range parts {
		file := output{Type: p.ResourceType(), URL: s.BaseURL + "/Binary/" + p.File, Count: p.Stored.Count}
		switch {
		case p.Kind == store.PartRemoved:
			m.Deleted = append(m.Deleted, file)
		case p.Kind == store.PartOutcomes:
			m.Error = append(m.Error, file)
		case p.Kind == store.PartList && request.RemovalList == RemovalListExtension:
			more.RemovalList = append(more.RemovalList, file)
		default:
			m.Output = append(m.Output, file)
		}
	}
	if len(more.RemovalList) > 0 {
		m.Extension = &more
	}
	m.Message = message(job.ID, request, len(parts) == 0)
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return nil, fmt.Errorf("write manifest of job %s: %w", job.ID, err)
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// message returns the text for the client in the manifest: that the export is empty
// (MA-06), and which resources were left out without being named in a removal List. It is "" if
// there is nothing to say.
func message(jobID string, r Request, empty bool) string {
	var sentences []string
	if empty {
		sentences = append(sentences, "Export complete, but no data to generate report for job instance: "+jobID)
	}
	if r.WithoutSuppressed && !r.hasRemovalList() {
		sentences = append(sentences, "Suppressed resources are left out, because this client is not authenticated. "+
			"A copy that was made earlier may still hold resources that were suppressed since.")
	}
	return strings.Join(sentences, ". ")
}
