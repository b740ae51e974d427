package http

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// answer is a response that is checked.
type answer struct {
	*http.Response
	body  string // decoded by "unpack" facts
	raw   int    // bytes of the body as received
	known captures
}

// implied returns the facts that are checked for each response.
func (a *answer) implied(q *http.Request) []fact {
	facts := []fact{
		{about: "Cache-Control", verb: "=", text: "no-store"},
		{about: "X-Request-ID", verb: "~", text: "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"},
		{about: "Date", verb: "~", text: "GMT$"},
	}
	if a.StatusCode < 400 || q.Method == http.MethodHead {
		return facts
	}
	return append(facts,
		fact{about: "Content-Type", verb: "=", text: "application/fhir+json"},
		fact{about: "json", path: "resourceType", verb: "=", text: "OperationOutcome"},
		fact{about: "json", path: "issue[0].severity", verb: "=", text: "error"},
		fact{about: "json", path: "issue[-1].severity", verb: "=", text: "information"},
		fact{about: "json", path: "issue[-1].code", verb: "=", text: "informational"},
		fact{about: "json", path: "issue[-1].diagnostics", verb: "=", text: "X-Request-ID: " + a.Header.Get("X-Request-ID")},
	)
}

// check returns an error if a fact does not hold.
func (a *answer) check(f fact) error {
	switch f.about {
	case "status":
		if strconv.Itoa(a.StatusCode) != f.text {
			return fmt.Errorf("status %d, want %s", a.StatusCode, f.text)
		}
		return nil
	case "length":
		if got := a.Header.Get("Content-Length"); got != strconv.Itoa(a.raw) {
			return fmt.Errorf("Content-Length %q of %d bytes", got, a.raw)
		}
		return nil
	case "body":
		return a.checkBody(f)
	case "json":
		return a.checkJSON(f)
	case "ndjson":
		return a.checkLines(f)
	case "unpack":
		return a.unpack(f.text)
	case "matches", "includes", "outcome":
		return a.checkBundle(f)
	case "link":
		return a.checkLink(f)
	}
	values := a.Header.Values(f.about)
	if f.verb == "absent" {
		if len(values) > 0 {
			return fmt.Errorf("%s is %q, want it absent", f.about, values)
		}
		return nil
	}
	if len(values) != 1 {
		return fmt.Errorf("%s has the values %q, want one", f.about, values)
	}
	return a.compare(f, values[0])
}

// compare compares a text with a pattern or a regular expression.
func (a *answer) compare(f fact, got string) error {
	if f.verb == "=" {
		if !a.known.match(f.text, got) {
			return fmt.Errorf("%s %s is %q, want %q", f.about, f.path, shorten(got), a.known.fill(f.text))
		}
		return nil
	}
	form, err := regexp.Compile(a.known.fill(f.text))
	if err != nil {
		return err
	}
	if !form.MatchString(got) {
		return fmt.Errorf("%s %s is %q, want a match of %s", f.about, f.path, shorten(got), form)
	}
	return nil
}

func (a *answer) checkBody(f fact) error {
	if f.verb != "empty" {
		return a.compare(f, a.body)
	}
	if a.body != "" {
		return fmt.Errorf("the body is %q, want none", shorten(a.body))
	}
	if a.Request.Method != http.MethodHead && a.ContentLength != 0 {
		return fmt.Errorf("Content-Length is %d, want 0", a.ContentLength)
	}
	return nil
}

func (a *answer) checkJSON(f fact) error {
	var root any
	if err := json.Unmarshal([]byte(a.body), &root); err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	value, found := lookup(root, f.path)
	switch {
	case f.verb == "absent" && found:
		return fmt.Errorf("json %s is %v, want it absent", f.path, value)
	case f.verb == "absent":
		return nil
	case !found:
		return fmt.Errorf("json %s is absent", f.path)
	case f.verb == "count":
		list, ok := value.([]any)
		if !ok || strconv.Itoa(len(list)) != f.text {
			return fmt.Errorf("json %s is %v, want %s elements", f.path, value, f.text)
		}
		return nil
	}
	if text, ok := value.(string); ok {
		return a.compare(f, text)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return a.compare(f, string(text))
}

// lookup returns the value at a path such as issue[0].code. Index -1 is the last element.
func lookup(value any, path string) (any, bool) {
	for name := range strings.SplitSeq(strings.ReplaceAll(path, "[", ".["), ".") {
		if number, ok := strings.CutPrefix(name, "["); ok {
			list, _ := value.([]any)
			n, err := strconv.Atoi(strings.TrimSuffix(number, "]"))
			if n < 0 {
				n += len(list)
			}
			if err != nil || n < 0 || n >= len(list) {
				return nil, false
			}
			value = list[n]
			continue
		}
		object, _ := value.(map[string]any)
		next, ok := object[name]
		if !ok {
			return nil, false
		}
		value = next
	}
	return value, true
}

// checkLines counts NDJSON lines as the strictest client does: each character that some
// program treats as a line end is one (RE-07).
func (a *answer) checkLines(f fact) error {
	if !strings.HasSuffix(a.body, "\n") {
		return errors.New("the last line has no newline")
	}
	if strings.ContainsAny(a.body, "\r\u0085\u2028\u2029\v\f\ufeff") {
		return errors.New("the body contains characters that some readers treat as line ends")
	}
	lines := strings.Split(strings.TrimSuffix(a.body, "\n"), "\n")
	for n, line := range lines {
		var resource struct{ ResourceType string }
		if err := json.Unmarshal([]byte(line), &resource); err != nil || resource.ResourceType == "" {
			return fmt.Errorf("line %d is not a resource: %q", n+1, shorten(line))
		}
	}
	if strconv.Itoa(len(lines)) != f.text {
		return fmt.Errorf("%d lines, want %s", len(lines), f.text)
	}
	return nil
}

// unpack replaces the body by its decoded content.
func (a *answer) unpack(form string) error {
	switch form {
	case "gzip":
		z, err := gzip.NewReader(strings.NewReader(a.body))
		if err != nil {
			return err
		}
		inside, err := io.ReadAll(z)
		a.body = string(inside)
		return err
	case "Binary":
		var b struct{ ResourceType, Data string }
		if err := json.Unmarshal([]byte(a.body), &b); err != nil || b.ResourceType != "Binary" {
			return fmt.Errorf("the body is not a Binary: %v", err)
		}
		inside, err := base64.StdEncoding.DecodeString(b.Data)
		a.body = string(inside)
		return err
	}
	return fmt.Errorf("%q cannot be unpacked: write gzip or Binary", form)
}
