package export

import (
	"bytes"
	"encoding/json"
	"fmt"

	"muster/internal/store"
)

// manifest is the completion manifest (MA-01 to MA-07).
type manifest struct {
	TransactionTime     string   `json:"transactionTime"`
	Request             string   `json:"request"`
	RequiresAccessToken bool     `json:"requiresAccessToken"`
	Output              []output `json:"output"`
	Error               []output `json:"error"`
	Message             string   `json:"message,omitempty"`
}

// output is one file.
type output struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Count int64  `json:"count"`
}

// manifest writes the manifest of a Complete job from its rows, the files in the
// order of the request's types. The same rows give the same bytes.
func (s *Service) manifest(job store.Job, parts []store.Part) ([]byte, error) {
	m := manifest{
		TransactionTime:     job.Time.Format(s.Zone),
		Request:             s.BaseURL + "/$export",
		RequiresAccessToken: s.RequiresAccessToken,
		Output:              make([]output, len(parts)),
		Error:               []output{},
	}
	for n, p := range parts {
		m.Output[n] = output{Type: p.Type.String(), URL: s.BaseURL + "/Binary/" + p.File, Count: p.Stored.Count}
	}
	if len(parts) == 0 {
		m.Message = "Export complete, but no data to generate report for job instance: " + job.ID
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return nil, fmt.Errorf("writing the manifest of job %s: %w", job.ID, err)
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}
