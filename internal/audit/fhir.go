package audit

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// auditEvent is an AuditEvent of FHIR R4, with the elements that muster fills.
type auditEvent struct {
	ResourceType string        `json:"resourceType"`
	ID           string        `json:"id"`
	Type         coding        `json:"type"`
	Subtype      []coding      `json:"subtype,omitempty"`
	Action       string        `json:"action"`
	Recorded     string        `json:"recorded"`
	Outcome      string        `json:"outcome"`
	OutcomeDesc  string        `json:"outcomeDesc,omitempty"`
	Agent        []eventAgent  `json:"agent"`
	Source       eventSource   `json:"source"`
	Entity       []eventEntity `json:"entity"`
}

type coding struct {
	System  string `json:"system"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

type reference struct {
	Reference  string      `json:"reference,omitempty"`
	Identifier *identifier `json:"identifier,omitempty"`
	Display    string      `json:"display,omitempty"`
}

type identifier struct {
	System string `json:"system,omitempty"`
	Value  string `json:"value"`
}

type eventAgent struct {
	Who       reference     `json:"who"`
	Requestor bool          `json:"requestor"`
	Network   *agentNetwork `json:"network,omitempty"`
}

type agentNetwork struct {
	Address string `json:"address"`
	Type    string `json:"type"`
}

type eventSource struct {
	Observer reference `json:"observer"`
	Type     []coding  `json:"type"`
}

type eventEntity struct {
	What   *reference     `json:"what,omitempty"`
	Type   coding         `json:"type"`
	Role   *coding        `json:"role,omitempty"`
	Query  string         `json:"query,omitempty"` // base64
	Detail []entityDetail `json:"detail,omitempty"`
}

type entityDetail struct {
	Type  string `json:"type"`
	Value string `json:"valueString"`
}

const (
	restfulSystem = "http://hl7.org/fhir/restful-interaction"
	roleSystem    = "http://terminology.hl7.org/CodeSystem/object-role"
)

var (
	restful  = coding{"http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "RESTful Operation"}
	activity = coding{"http://dicom.nema.org/resources/ontology/DCM", "110100", "Application Activity"}
	object   = coding{"http://terminology.hl7.org/CodeSystem/audit-entity-type", "2", "System Object"}
	program  = eventSource{Observer: reference{Display: "muster"}, Type: []coding{{"http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server"}}}

	roleResource = coding{roleSystem, "4", "Domain Resource"}
	roleJob      = coding{roleSystem, "20", "Job"}
	roleQuery    = coding{roleSystem, "24", "Query"}
)

// Codes of actions, outcomes and networks.
const (
	actionRead    = "R"
	actionDelete  = "D"
	actionExecute = "E"

	outcomeSuccess = "0"
	outcomeMinor   = "4"
	outcomeSerious = "8"

	networkIP = "2"
)

// asFHIR is how the events of an interaction are written. An empty subtype: FHIR has none for it.
var asFHIR = map[Interaction]struct {
	subtype, action string
	role            *coding
}{
	KickOff:      {"operation", actionExecute, &roleQuery},
	Poll:         {"operation", actionExecute, &roleJob},
	Cancel:       {"delete", actionDelete, &roleJob},
	Download:     {"read", actionRead, &roleResource},
	Capabilities: {"capabilities", actionRead, nil},
	SearchType:   {"search-type", actionExecute, &roleQuery},
	Read:         {"read", actionRead, &roleResource},
	Health:       {"", actionExecute, nil},
	Metrics:      {"", actionExecute, nil},
	Other:        {"", actionExecute, nil},
}

// FHIR returns the AuditEvent (FHIR R4) of a line of the log, as JSON on one line. Its id is the hash
// of the line.
func FHIR(e Entry, line []byte) ([]byte, error) {
	a := auditEvent{ResourceType: "AuditEvent", ID: hashOf(line), Recorded: e.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00"), Source: program}
	if e.Log.Kind != "" {
		a.addNotice(e.Log)
	} else {
		a.addRequest(e.Event)
	}
	return encode(a)
}

// addNotice fills the event of the log itself.
func (a *auditEvent) addNotice(n Notice) {
	a.Type, a.Action, a.Outcome = activity, actionExecute, outcomeSuccess
	switch n.Kind {
	case Repaired:
		a.Outcome = outcomeMinor
	case Lost:
		a.Outcome = outcomeSerious
	}
	a.Agent = []eventAgent{{Who: program.Observer}}
	entity := eventEntity{Type: object, What: &reference{Display: "audit log"}}
	entity.detail("notice", string(n.Kind))
	entity.detail("events", number(n.Events))
	entity.detail("bytes", number(n.Bytes))
	entity.detail("text", n.Text)
	a.Entity = []eventEntity{entity}
}

// addRequest fills the event of a request.
func (a *auditEvent) addRequest(e Event) {
	form := asFHIR[e.Interaction]
	a.Type, a.Action = restful, form.action
	if a.Action == "" { // an interaction of a later version
		a.Action = actionExecute
	}
	if form.subtype != "" {
		a.Subtype = []coding{{restfulSystem, form.subtype, form.subtype}}
	}
	a.Outcome, a.OutcomeDesc = outcomeOf(e)
	a.Agent = []eventAgent{{Who: reference{Identifier: &identifier{e.Issuer, e.client()}}, Requestor: true}}
	if e.Remote != "" {
		a.Agent[0].Network = &agentNetwork{e.Remote, networkIP}
	}
	entity := eventEntity{Type: object, Role: form.role, What: e.what()}
	if query := e.fullQuery(); query != "" {
		entity.Query = base64.StdEncoding.EncodeToString([]byte(query))
	}
	for _, d := range e.details() {
		entity.detail(d.Type, d.Value)
	}
	a.Entity = []eventEntity{entity}
}

// client returns the name of the client: its id, or that of the principal.
func (e Event) client() string {
	return cmp.Or(text(e.Client), text(e.Principal), "unknown")
}

// outcomeOf returns the code and the description of the outcome of a request.
func outcomeOf(e Event) (code, description string) {
	switch {
	case e.Status == 0:
		return outcomeMinor, "the client disconnected before the response"
	case e.Status >= http.StatusInternalServerError:
		code = outcomeSerious
	case e.Status >= http.StatusBadRequest:
		code = outcomeMinor
	case e.Broken:
		return outcomeSerious, fmt.Sprintf("HTTP %d, and the response was aborted", e.Status)
	default:
		code = outcomeSuccess
	}
	return code, strings.TrimSpace(fmt.Sprintf("HTTP %d %s", e.Status, e.Issue))
}

// resourcePath matches the path of a read: the type and the id.
var resourcePath = regexp.MustCompile(`(?:^|/)([A-Z][A-Za-z]{1,63}/[A-Za-z0-9.-]{1,64})$`)

// what returns the resource or the job of a request, or nil.
func (e Event) what() *reference {
	switch m := resourcePath.FindStringSubmatch(e.Path); {
	case (e.Interaction == Read || e.Interaction == Download) && m != nil:
		return &reference{Reference: m[1]}
	case text(e.Job) != "":
		return &reference{Identifier: &identifier{Value: text(e.Job)}}
	}
	return nil
}

// fullQuery returns the query of a search, or the parameters of a kick-off in the form of a query.
func (e Event) fullQuery() string {
	if e.Query != "" || len(e.Filters) == 0 && e.Since == "" {
		return e.Query
	}
	var pairs []string
	for _, filter := range e.Filters {
		pairs = append(pairs, "_typeFilter="+url.QueryEscape(filter))
	}
	if e.Since != "" {
		pairs = append(pairs, "_since="+url.QueryEscape(e.Since))
	}
	return strings.Join(pairs, "&")
}

// details returns what an AuditEvent has no element for.
func (e Event) details() (all []entityDetail) {
	add := func(name, value string) { all = append(all, entityDetail{name, value}) }
	add("X-Request-ID", e.RequestID)
	add("interaction", string(e.Interaction))
	add("method", e.Method)
	add("path", e.Path)
	add("status", strconv.Itoa(e.Status))
	add("scopes", strings.Join(e.Scopes, " "))
	add("job", e.Job)
	add("file", e.File)
	add("resources", number(e.Resources))
	add("bytes", strconv.FormatInt(e.Bytes, 10))
	add("count", number(e.Count))
	add("statuses", Counts(e.Statuses))
	add("routes", Counts(e.Routes))
	return all
}

// Counts returns numbers by name as text: "404: 1, 429: 1000".
func Counts(numbers map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		all = append(all, fmt.Sprintf("%s: %d", name, numbers[name]))
	}
	return strings.Join(all, ", ")
}

// detail adds a detail, unless its value is empty.
func (e *eventEntity) detail(name, value string) {
	if value = text(value); value != "" {
		e.Detail = append(e.Detail, entityDetail{name, value})
	}
}

// number returns a number as text, or "" for 0.
func number[N int | int64](n N) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(int64(n), 10)
}

// text replaces the control characters that a string of FHIR may not have. It returns "" for spaces
// alone, which FHIR does not allow either.
func text(value string) string {
	if strings.TrimSpace(value) == "" {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' {
			return '�'
		}
		return r
	}, value)
}
