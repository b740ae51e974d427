// Package r4 holds the structure of the resources of a directory: the elements of FHIR R4 and
// the cardinalities of the guide's profiles.
//
// The tables elements.tsv, codes.tsv and profiles.tsv are generated from the published
// definitions (generate; README.md names the sources). They cover the seven types and all
// datatypes that these use. Package load checks resources against them.
package r4

import (
	_ "embed" // for the tables
	"fmt"
	"strconv"
	"strings"
	"sync"
)

//go:embed elements.tsv
var elementText string

//go:embed codes.tsv
var codeText string

//go:embed profiles.tsv
var profileText string

// Tables are the structures and profiles. They must not be changed.
type Tables struct {
	Elements map[string][]Element // by the name of the type, such as Organization, Organization.contact or Period
	Profiles []Rule
	Codes    map[string][]string // by the name of the value set, such as days-of-week
}

// Element is one element of a type.
type Element struct {
	Name   string   // of a choice without [x]: "occurred"
	Choice bool     // the name of the member ends with its type: "occurredPeriod"
	Min    int      // 0 or 1
	Many   bool     // the element repeats
	Types  []string // of a choice several. Names in lower case are primitives. Resource is any resource
	// ValueSet and Codes are the binding of a code that must be one of a list. Bindings to
	// systems without a list, such as languages and media types, are left out.
	ValueSet string
	Codes    []string
}

// Rule is a cardinality of a profile that is narrower than that of FHIR R4.
type Rule struct {
	Profile string // id of the profile, such as hcpd-organization
	Type    string
	Path    []Step
	Min     int
	Max     int // or -1
}

// Step is one element of the path of a rule. The rule counts the items of the last step within
// each item of the steps before it.
type Step struct {
	Name  string
	Where []Condition // an item must meet all
}

// Condition is the value of a member: of url, system or use; or of type, either a code or a
// coding of a CodeableConcept as system|code.
type Condition struct{ Member, Value string }

// String returns the step as the table has it: "identifier[system=http://hl7.org.au/id/abn]".
func (s Step) String() string {
	if s.Where == nil {
		return s.Name
	}
	var conditions []string
	for _, c := range s.Where {
		conditions = append(conditions, c.Member+"="+c.Value)
	}
	return s.Name + "[" + strings.Join(conditions, "&") + "]"
}

// Load returns the tables, which it reads once. An error is a mistake in the tables.
var Load = sync.OnceValues(func() (*Tables, error) { return parse(elementText, codeText, profileText) })

// parse reads the tables.
func parse(elements, codes, profiles string) (*Tables, error) {
	t := &Tables{Elements: map[string][]Element{}, Codes: map[string][]string{}}
	if err := rows(codes, 2, func(f []string) error {
		t.Codes[f[0]] = strings.Fields(f[1])
		return nil
	}); err != nil {
		return nil, fmt.Errorf("codes.tsv:%w", err)
	}
	if err := rows(elements, 4, func(f []string) error {
		e := Element{Types: strings.Fields(f[3])}
		e.Name, e.Choice = strings.CutSuffix(f[1], "[x]")
		least, most, err := limits(f[2])
		if err != nil {
			return err
		}
		e.Min, e.Many = least, most < 0
		if len(f) == 5 {
			e.ValueSet, e.Codes = f[4], t.Codes[f[4]]
			if e.Codes == nil {
				return fmt.Errorf("the value set %s is not in codes.tsv", f[4])
			}
		}
		t.Elements[f[0]] = append(t.Elements[f[0]], e)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("elements.tsv:%w", err)
	}
	if err := rows(profiles, 4, func(f []string) error {
		r := Rule{Profile: f[0], Type: f[1]}
		var err error
		if r.Path, err = path(f[2]); err != nil {
			return err
		}
		r.Min, r.Max, err = limits(f[3])
		t.Profiles = append(t.Profiles, r)
		return err
	}); err != nil {
		return nil, fmt.Errorf("profiles.tsv:%w", err)
	}
	return t, nil
}

// rows calls add for each row of a table with at least the given number of fields.
func rows(text string, fields int, add func([]string) error) error {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) < fields {
			return fmt.Errorf("%d: there are %d fields, not %d", n, len(f), fields)
		}
		if err := add(f); err != nil {
			return fmt.Errorf("%d: %w", n, err)
		}
	}
	return nil
}

// limits parses a cardinality, such as 0..1 or 1..*, whose maximum is then -1.
func limits(text string) (least, most int, err error) {
	low, high, ok := strings.Cut(text, "..")
	if least, err = strconv.Atoi(low); !ok || err != nil {
		return 0, 0, fmt.Errorf("%q is not a cardinality", text)
	}
	if high == "*" {
		return least, -1, nil
	}
	if most, err = strconv.Atoi(high); err != nil {
		return 0, 0, fmt.Errorf("%q is not a cardinality", text)
	}
	return least, most, nil
}

// path parses the path of a rule. Dots within brackets are part of a URL.
func path(text string) (steps []Step, err error) {
	for text != "" {
		end := strings.IndexAny(text, ".[")
		if end < 0 {
			end = len(text)
		}
		s := Step{Name: text[:end]}
		text = text[end:]
		if strings.HasPrefix(text, "[") {
			inside, rest, ok := strings.Cut(text[1:], "]")
			if !ok {
				return nil, fmt.Errorf("the condition of %s has no end", s.Name)
			}
			for condition := range strings.SplitSeq(inside, "&") {
				member, value, ok := strings.Cut(condition, "=")
				if !ok {
					return nil, fmt.Errorf("%q is not a condition", condition)
				}
				s.Where = append(s.Where, Condition{member, value})
			}
			text = rest
		}
		steps = append(steps, s)
		text = strings.TrimPrefix(text, ".")
	}
	return steps, nil
}
