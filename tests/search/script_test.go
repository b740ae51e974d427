package search

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"muster/internal/searchtest"
)

// script is one file: a directory, and searches with what they find.
type script struct {
	file     string
	loads    searchtest.Batches
	searches []question
	req      []string // ids of all requirements that it proves
}

// question is one search with the facts about its answer.
type question struct {
	line  int
	since int    // of a delta: after which load; 0 for none
	kind  string // "search", "export", "delta" or "read"
	query string

	refused, why string   // code and text of the refusal, if refused
	ids          []string // found otherwise
	ordered      bool
	includes     []string // Type/id
	total        int      // -1 where the script does not say
}

var (
	resourceForm = regexp.MustCompile(`^([A-Z][A-Za-z]+)/([A-Za-z0-9.-]+) (\{.*\})$`)
	reqForm      = regexp.MustCompile(`^[A-Z]{1,2}-[0-9]{2}$`)
)

// readScript reads a script. Errors name file and line.
func readScript(file string) (*script, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s := &script{file: file}
	for n, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.read(n+1, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n+1, err)
		}
	}
	for _, q := range s.searches {
		if q.ids == nil && q.refused == "" {
			return nil, fmt.Errorf("%s:%d: the search has no answer: write = or !", file, q.line)
		}
	}
	return s, nil
}

func (s *script) read(n int, line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case line == "load":
		s.loads = append(s.loads, nil)
		return nil
	case word == "req":
		for _, id := range strings.Fields(rest) {
			if !reqForm.MatchString(id) {
				return fmt.Errorf("%q is not the id of a requirement", id)
			}
			s.req = append(s.req, id)
		}
		return nil
	case word == "search" || word == "export" || word == "read":
		s.searches = append(s.searches, question{line: n, kind: word, query: rest, total: -1})
		return nil
	case word == "delta":
		after, rest, _ := strings.Cut(rest, " ")
		since, err := strconv.Atoi(after)
		if err != nil || since < 1 || since > len(s.loads) {
			return fmt.Errorf("a delta says after which load: delta 1 Type?…")
		}
		s.searches = append(s.searches, question{line: n, kind: word, since: since, query: rest, total: -1})
		return nil
	}
	if m := resourceForm.FindStringSubmatch(line); m != nil {
		if len(s.loads) == 0 || len(s.searches) > 0 {
			return fmt.Errorf("resources stand under load, before the searches")
		}
		resource, err := spellOut(m[1], m[2], m[3])
		last := len(s.loads) - 1
		s.loads[last] = append(s.loads[last], resource)
		return err
	}
	if len(s.searches) == 0 {
		return fmt.Errorf("%q is no command, resource or fact", line)
	}
	return s.searches[len(s.searches)-1].fact(word, rest)
}

// fact reads a line about the answer.
func (q *question) fact(word, rest string) (err error) {
	switch word {
	case "=":
		rest, q.ordered = strings.CutPrefix(rest, "in order ")
		q.ids = []string{}
		if rest != "none" {
			q.ids = strings.Fields(rest)
		}
	case "+":
		q.includes = append(q.includes, strings.Fields(rest)...)
	case "total":
		q.total, err = strconv.Atoi(rest)
	case "!":
		q.refused, q.why, _ = strings.Cut(rest, " ")
	default:
		return fmt.Errorf("%q is no command, resource or fact", word+" "+rest)
	}
	return err
}

var shortForm = regexp.MustCompile(`^(ref|concept|coding|id|suppressed)\((.*)\)$`)

// spellOut makes a resource from its terse form.
func spellOut(t, id, members string) (string, error) {
	var o map[string]any
	if err := json.Unmarshal([]byte(members), &o); err != nil {
		return "", err
	}
	o = long(o).(map[string]any)
	o["resourceType"], o["id"] = t, id
	meta, ok := o["meta"].(map[string]any)
	if !ok {
		meta = map[string]any{}
		o["meta"] = meta
	}
	if meta["lastUpdated"] == nil {
		meta["lastUpdated"] = "2026-03-01T09:30:00.000Z"
	}
	line, err := json.Marshal(o)
	return string(line), err
}

// long writes the short forms within an element in full.
func long(element any) any {
	switch e := element.(type) {
	case map[string]any:
		for name, member := range e {
			e[name] = long(member)
		}
	case []any:
		for n, item := range e {
			e[n] = long(item)
		}
	case string:
		if m := shortForm.FindStringSubmatch(e); m != nil {
			return spellings[m[1]](m[2])
		}
	}
	return element
}

var spellings = map[string]func(string) any{
	"ref":        func(s string) any { return map[string]any{"reference": s} },
	"coding":     func(s string) any { return pair(s, "code") },
	"suppressed": suppression,
	"concept":    func(s string) any { return map[string]any{"coding": []any{pair(s, "code")}} },
	"id": func(s string) any {
		value, kind, typed := s, "", false
		if strings.Count(s, "|") == 2 {
			n := strings.LastIndex(s, "|")
			value, kind, typed = s[:n], s[n+1:], true
		}
		i := pair(value, "value")
		if typed {
			i["type"] = map[string]any{"coding": []any{map[string]any{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": kind}}}
		}
		return i
	},
}

// pair reads system|code or a code alone.
func pair(s, name string) map[string]any {
	system, code, ok := strings.Cut(s, "|")
	if !ok {
		return map[string]any{name: s}
	}
	return map[string]any{"system": system, name: code}
}

// suppression reads who suppressed, and for an Organization whether itself:
// organisation-initiated|false.
func suppression(s string) any {
	by, self, said := strings.Cut(s, "|")
	parts := []any{map[string]any{"url": "suppressedBy", "valueCodeableConcept": map[string]any{"coding": []any{
		pair("http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type|"+by, "code")}}}}
	if said {
		parts = append(parts, map[string]any{"url": "includeSelf", "valueBoolean": self == "true"})
	}
	return map[string]any{"url": "http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed", "extension": parts}
}
