package http

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// bundle is a searchset Bundle.
type bundle struct {
	ResourceType, Type string
	Link               []struct{ Relation, URL string }
	Entry              []struct {
		FullURL  string
		Resource struct {
			ResourceType, ID string
			Issue            []struct{ Severity, Code, Diagnostics string }
		}
		Search struct{ Mode string }
	}
}

func (a *answer) bundle() (b bundle, err error) {
	if err := json.Unmarshal([]byte(a.body), &b); err != nil {
		return b, fmt.Errorf("the body is not JSON: %w", err)
	}
	if b.ResourceType != "Bundle" || b.Type != "searchset" {
		return b, errors.New("the body is not a searchset Bundle")
	}
	for _, e := range b.Entry {
		if want := a.known["base"] + "/" + e.Resource.ResourceType + "/" + e.Resource.ID; e.Search.Mode != "outcome" && e.FullURL != want {
			return b, fmt.Errorf("fullUrl is %q, want %q", e.FullURL, want)
		}
		if e.Search.Mode != "outcome" {
			continue
		}
		last := e.Resource.Issue[len(e.Resource.Issue)-1] // ER-01
		if want := "X-Request-ID: " + a.Header.Get("X-Request-ID"); last.Severity != "information" || last.Code != "informational" || last.Diagnostics != want {
			return b, fmt.Errorf("the last issue of an outcome is %+v, want %s", last, want)
		}
	}
	return b, nil
}

// checkBundle compares the entries of one mode: ids of matches in order, included
// resources as Type/id in any order, and the diagnostics of outcomes.
func (a *answer) checkBundle(f fact) error {
	b, err := a.bundle()
	if err != nil {
		return err
	}
	var got []string
	for _, e := range b.Entry {
		switch {
		case f.about == "matches" && e.Search.Mode == "match":
			got = append(got, e.Resource.ID)
		case f.about == "includes" && e.Search.Mode == "include":
			got = append(got, e.Resource.ResourceType+"/"+e.Resource.ID)
		case f.about == "outcome" && e.Search.Mode == "outcome":
			got = append(got, e.Resource.Issue[0].Diagnostics)
		}
	}
	if f.about == "outcome" {
		return matchOutcome(f.text, got)
	}
	want := ids(f.text)
	if f.about == "includes" {
		slices.Sort(want)
		slices.Sort(got)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s are %v, want %v", f.about, got, want)
	}
	return nil
}

func matchOutcome(pattern string, got []string) error {
	if pattern == "nothing" {
		pattern = "^$"
	}
	form, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	if !form.MatchString(strings.Join(got, "\n")) {
		return fmt.Errorf("the outcomes of the Bundle are %q, want a match of %s", got, form)
	}
	return nil
}

var rangeForm = regexp.MustCompile(`^(.*?)([0-9]+)\.\.(.*?)([0-9]+)$`)

// ids parses a list of ids, where a-001..a-030 is a range of thirty, ascending or
// descending.
func ids(text string) (list []string) {
	for word := range strings.FieldsSeq(text) {
		m := rangeForm.FindStringSubmatch(word)
		if m == nil || m[1] != m[3] {
			list = append(list, word)
			continue
		}
		from, _ := strconv.Atoi(m[2])
		to, _ := strconv.Atoi(m[4])
		for n := from; ; {
			list = append(list, fmt.Sprintf("%s%0*d", m[1], len(m[2]), n))
			if n == to {
				break
			}
			if n < to {
				n++
			} else {
				n--
			}
		}
	}
	return list
}

// checkLink checks the link with a relation.
func (a *answer) checkLink(f fact) error {
	b, err := a.bundle()
	if err != nil {
		return err
	}
	for _, l := range b.Link {
		if l.Relation == f.path {
			if f.verb == "absent" {
				return fmt.Errorf("there is a link %s: %s", f.path, l.URL)
			}
			return a.compare(f, l.URL)
		}
	}
	if f.verb == "absent" {
		return nil
	}
	return fmt.Errorf("there is no link %s", f.path)
}
