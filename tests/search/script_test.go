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

// script is a parsed script: a directory, and searches with their expected answers.
type script struct {
	file     string
	loads    searchtest.Batches
	searches []testCase
	req      []string // ids of the requirements that it proves
}

// testCase is one search with its expected answer.
type testCase struct {
	line  int
	since int    // of a delta: number of the load; otherwise 0
	kind  string // "search", "export", "delta" or "read"
	query string

	refused, diagnostics string   // code and text of the error, if refused
	ids                  []string // found, unless refused
	ordered              bool
	includes             []string // Type/id
	total                int      // -1 if not specified
}

var (
	resourcePattern = regexp.MustCompile(`^([A-Z][A-Za-z]+)/([A-Za-z0-9.-]+) (\{.*\})$`)
	reqPattern      = regexp.MustCompile(`^[A-Z]{1,2}-[0-9]{2}$`)
)

// readScript reads and parses a script. Errors name the file and the line.
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
		if err := s.parseLine(n+1, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n+1, err)
		}
	}
	for _, q := range s.searches {
		if q.ids == nil && q.refused == "" {
			return nil, fmt.Errorf("%s:%d: the search has no expected answer: add a line with = or !", file, q.line)
		}
	}
	return s, nil
}

func (s *script) parseLine(n int, line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case line == "load":
		s.loads = append(s.loads, nil)
		return nil
	case word == "req":
		for _, id := range strings.Fields(rest) {
			if !reqPattern.MatchString(id) {
				return fmt.Errorf("%q is not a requirement id", id)
			}
			s.req = append(s.req, id)
		}
		return nil
	case word == "search" || word == "export" || word == "read":
		s.searches = append(s.searches, testCase{line: n, kind: word, query: rest, total: -1})
		return nil
	case word == "delta":
		after, rest, _ := strings.Cut(rest, " ")
		since, err := strconv.Atoi(after)
		if err != nil || since < 1 || since > len(s.loads) {
			return fmt.Errorf("a delta needs the number of an earlier load: write delta 1 Type?…")
		}
		s.searches = append(s.searches, testCase{line: n, kind: word, since: since, query: rest, total: -1})
		return nil
	}
	if m := resourcePattern.FindStringSubmatch(line); m != nil {
		if len(s.loads) == 0 || len(s.searches) > 0 {
			return fmt.Errorf("a resource must follow load and precede the searches")
		}
		resource, err := expandResource(m[1], m[2], m[3])
		last := len(s.loads) - 1
		s.loads[last] = append(s.loads[last], resource)
		return err
	}
	if len(s.searches) == 0 {
		return fmt.Errorf("%q is not a command, a resource or an expectation", line)
	}
	return s.searches[len(s.searches)-1].expect(word, rest)
}

// expect parses a line of the expected answer.
func (q *testCase) expect(word, rest string) (err error) {
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
		q.refused, q.diagnostics, _ = strings.Cut(rest, " ")
	default:
		return fmt.Errorf("%q is not a command, a resource or an expectation", word+" "+rest)
	}
	return err
}

var shorthandPattern = regexp.MustCompile(`^(ref|concept|coding|id|suppressed)\((.*)\)$`)

// expandResource returns the JSON of a resource with all shorthands expanded.
func expandResource(t, id, members string) (string, error) {
	var o map[string]any
	if err := json.Unmarshal([]byte(members), &o); err != nil {
		return "", err
	}
	o = expand(o).(map[string]any)
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

// expand expands the shorthands within an element.
func expand(element any) any {
	switch e := element.(type) {
	case map[string]any:
		for name, member := range e {
			e[name] = expand(member)
		}
	case []any:
		for n, item := range e {
			e[n] = expand(item)
		}
	case string:
		if m := shorthandPattern.FindStringSubmatch(e); m != nil {
			return shorthands[m[1]](m[2])
		}
	}
	return element
}

var shorthands = map[string]func(string) any{
	"ref":        func(s string) any { return map[string]any{"reference": s} },
	"coding":     func(s string) any { return pair(s, "code") },
	"suppressed": suppression,
	"concept":    func(s string) any { return map[string]any{"coding": []any{pair(s, "code")}} },
	"id": func(s string) any {
		value, idType, typed := s, "", false
		if strings.Count(s, "|") == 2 {
			n := strings.LastIndex(s, "|")
			value, idType, typed = s[:n], s[n+1:], true
		}
		i := pair(value, "value")
		if typed {
			i["type"] = map[string]any{"coding": []any{map[string]any{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": idType}}}
		}
		return i
	},
}

// pair parses system|code, or a code without a system.
func pair(s, name string) map[string]any {
	system, code, ok := strings.Cut(s, "|")
	if !ok {
		return map[string]any{name: s}
	}
	return map[string]any{"system": system, name: code}
}

// suppression parses the responsible party and, for an Organization, the value of
// includeSelf: organisation-initiated|false.
func suppression(s string) any {
	party, self, hasSelf := strings.Cut(s, "|")
	parts := []any{map[string]any{"url": "suppressedBy", "valueCodeableConcept": map[string]any{"coding": []any{
		pair("http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type|"+party, "code")}}}}
	if hasSelf {
		parts = append(parts, map[string]any{"url": "includeSelf", "valueBoolean": self == "true"})
	}
	return map[string]any{"url": "http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed", "extension": parts}
}
