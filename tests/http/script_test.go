package http

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// step is a command or a request of a transcript.
type step struct {
	line    int
	command string   // "start", "load", …; empty for a request
	args    []string // of the command
	req     []string // requirements that the request covers

	method, target string
	headers        []header
	parameters     []parameter
	body           []string
	facts          []fact
}

type header struct{ name, value string }

type parameter struct{ name, value string }

// fact is a line that starts with ">".
type fact struct {
	line  int
	about string // "status", "body", "json", "ndjson", "length", "unpack", … or the name of a header
	path  string // of json
	verb  string // "=", "~", "absent", "empty", "count", or empty
	text  string
}

var (
	requestForm = regexp.MustCompile(`^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (\S+)$`)
	headerForm  = regexp.MustCompile(`^([A-Za-z-]+):\s*(.*)$`)
	idForm      = regexp.MustCompile(`^[A-Z]{2}-[0-9]{2}$`)
	statusForm  = regexp.MustCompile(`^[1-5][0-9]{2}$`)
)

// readScript reads a transcript. Errors have file and line.
func readScript(name string) ([]step, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseScript(name, strings.Split(string(text), "\n"))
}

// parseScript parses the lines of a transcript.
func parseScript(name string, lines []string) ([]step, error) {
	var steps []step
	var ids []string
	for n, line := range lines {
		line = strings.TrimRight(line, " \t")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "req "); ok {
			ids = strings.Fields(rest)
			for _, id := range ids {
				if !idForm.MatchString(id) {
					return nil, fmt.Errorf("%s:%d: %q is not a requirement id", name, n+1, id)
				}
			}
			continue
		}
		if m := requestForm.FindStringSubmatch(line); m != nil {
			steps = append(steps, step{line: n + 1, method: m[1], target: m[2], req: ids})
			ids = nil
			continue
		}
		if word, rest, _ := strings.Cut(line, " "); isCommand(word) {
			steps = append(steps, step{line: n + 1, command: word, args: strings.Fields(rest)})
			continue
		}
		if len(steps) == 0 || steps[len(steps)-1].command != "" {
			return nil, fmt.Errorf("%s:%d: %q is neither a command nor a request", name, n+1, line)
		}
		if err := steps[len(steps)-1].add(n+1, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n+1, err)
		}
	}
	for _, s := range steps {
		if s.command == "" && (len(s.facts) == 0 || s.facts[0].about != "status") {
			return nil, fmt.Errorf("%s:%d: the first fact of a request is its status", name, s.line)
		}
	}
	return steps, nil
}

func isCommand(word string) bool {
	switch word {
	case "start", "load", "put", "fill", "remove", "sweep", "wait", "from", "as", "hold", "finish", "fail":
		return true
	}
	return false
}

// add parses a line of a request.
func (s *step) add(n int, line string) error {
	switch {
	case strings.HasPrefix(line, "> "):
		f, err := readFact(n, line[2:])
		s.facts = append(s.facts, f)
		return err
	case len(s.facts) > 0:
		return fmt.Errorf("%q follows the facts of its request", line)
	case strings.HasPrefix(line, "+ "):
		name, value, _ := strings.Cut(line[2:], " ")
		s.parameters = append(s.parameters, parameter{name, value})
	case line == "body" || strings.HasPrefix(line, "body "):
		s.body = append(s.body, strings.TrimPrefix(line[4:], " "))
	default:
		m := headerForm.FindStringSubmatch(line)
		if m == nil {
			return fmt.Errorf("%q is not a header, parameter, body or fact", line)
		}
		s.headers = append(s.headers, header{m[1], m[2]})
	}
	return nil
}

// readFact parses the text after "> ".
func readFact(n int, text string) (fact, error) {
	f := fact{line: n}
	if statusForm.MatchString(text) {
		f.about, f.text = "status", text
		return f, nil
	}
	f.about, text, _ = strings.Cut(text, " ")
	switch f.about {
	case "length":
		return f, nil
	case "ndjson", "unpack", "matches", "includes", "outcome":
		f.text = text
		return f, nil
	case "link":
		f.path, text, _ = strings.Cut(text, " ")
	case "json":
		f.path, text, _ = strings.Cut(text, " ")
	}
	f.verb, f.text, _ = strings.Cut(text, " ")
	switch f.verb {
	case "=", "~":
		return f, nil
	case "absent":
		if f.about != "body" {
			return f, nil
		}
	case "empty":
		if f.about == "body" {
			return f, nil
		}
	case "count":
		if f.about == "json" {
			return f, nil
		}
	}
	return f, fmt.Errorf("%q is not a fact; README.md lists them", text)
}

// content returns the body of a request and its default headers.
func (s *step) content(fill func(string) string) (string, []header, error) {
	if len(s.parameters) == 0 {
		return fill(strings.Join(s.body, "\n")), nil, nil
	}
	type entry struct {
		Name         string `json:"name"`
		ValueString  string `json:"valueString,omitempty"`
		ValueInstant string `json:"valueInstant,omitempty"`
	}
	resource := struct {
		ResourceType string  `json:"resourceType"`
		Parameter    []entry `json:"parameter"`
	}{ResourceType: "Parameters"}
	for _, p := range s.parameters {
		e := entry{Name: p.name, ValueString: fill(p.value)}
		if p.name == "_since" {
			e.ValueInstant, e.ValueString = e.ValueString, ""
		}
		resource.Parameter = append(resource.Parameter, e)
	}
	text, err := json.Marshal(resource)
	return string(text), []header{{"Content-Type", "application/fhir+json"}, {"Prefer", "respond-async"}}, err
}

// captures are the texts captured by a transcript, by name.
type captures map[string]string

var captureForm = regexp.MustCompile(`\{[a-z][a-z0-9]*\}`)

// fill replaces {name} by the captured text. Unknown names are unchanged.
func (h captures) fill(text string) string {
	return captureForm.ReplaceAllStringFunc(text, func(placeholder string) string {
		if captured, ok := h[placeholder[1:len(placeholder)-1]]; ok {
			return captured
		}
		return placeholder
	})
}

// match matches text with a pattern and stores new captures.
func (h captures) match(pattern, text string) bool {
	expression, names, at := "", []string{}, 0
	for _, place := range captureForm.FindAllStringIndex(pattern, -1) {
		expression += regexp.QuoteMeta(pattern[at:place[0]])
		at = place[1]
		name := pattern[place[0]+1 : place[1]-1]
		if captured, ok := h[name]; ok {
			expression += regexp.QuoteMeta(captured)
			continue
		}
		expression += "(.+)"
		names = append(names, name)
	}
	expression += regexp.QuoteMeta(pattern[at:])
	captured := regexp.MustCompile("(?s)^" + expression + "$").FindStringSubmatch(text)
	if captured == nil {
		return false
	}
	for n, name := range names {
		h[name] = captured[n+1]
	}
	return true
}
