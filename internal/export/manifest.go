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
	RemovalList []output         `json:"removalList,omitempty"`
	Left        []output         `json:"left,omitempty"`
	Membership  store.Membership `json:"membership,omitempty"`
}

// isEmpty reports whether there is nothing to say.
func (e extension) isEmpty() bool {
	return len(e.RemovalList) == 0 && len(e.Left) == 0 && e.Membership == store.MembershipUntracked
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
	more := extension{Membership: job.Membership}
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
		case p.Kind == store.PartLeft:
			more.Left = append(more.Left, file)
		case p.Kind == store.PartOutcomes:
			m.Error = append(m.Error, file)
		case p.Kind == store.PartList && request.RemovalList == RemovalListExtension:
			more.RemovalList = append(more.RemovalList, file)
		default:
			m.Output = append(m.Output, file)
		}
	}
	if !more.isEmpty() {
		m.Extension = &more
	}
	m.Message = message(job, stored, len(parts) == 0)
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return nil, fmt.Errorf("write manifest of job %s: %w", job.ID, err)
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// message returns the text for the client in the manifest: that the export is empty
// (MA-06), which resources were left out without being named in a removal List or in deleted, and what
// is not known of the membership. It is "" if there is nothing to say.
func message(job store.Job, stored storedRequest, empty bool) string {
	r := stored.withoutFilters()
	var sentences []string
	if r.WithoutSuppressed && !r.hasRemovalList() {
		sentences = append(sentences, "Suppressed resources are left out, because this client may not see them. "+
			"A copy that was made earlier may still hold resources that were suppressed since.")
	}
	if stored.omitsRemoved(job.Membership) {
		sentences = append(sentences, "Provenances that were removed since are not listed in deleted, because the token does not cover all types, and the server does not know what they were about. "+
			"Replace those of a copy by a full export, or track the membership of the filters.")
	}
	switch job.Membership {
	case store.MembershipUnknown:
		sentences = append(sentences, "The server does not know what this client held at _since, so the export does not say what has left the filters, nor what has entered them without a change. "+
			"Start again with a full export, without _since.")
	case store.MembershipNotKept:
		sentences = append(sentences, "What this export holds is too large to be kept, so the next one cannot say what has left the filters.")
	}
	if !empty {
		return strings.Join(sentences, " ")
	}
	done := "Export complete, but no data to generate report for job instance: " + job.ID
	if len(sentences) == 0 {
		return done
	}
	return done + ". " + strings.Join(sentences, " ")
}
