package r4

import (
	"strings"
	"testing"
)

// TestTables checks that the tables can be read and name no unknown type or element.
func TestTables(t *testing.T) {
	tables, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for name, elements := range tables.Elements {
		seen := map[string]bool{}
		for _, e := range elements {
			if seen[e.Name] || e.Min > 1 || len(e.Types) == 0 || len(e.Types) > 1 && !e.Choice {
				t.Errorf("%s.%s is not a valid row: %+v", name, e.Name, e)
			}
			seen[e.Name] = true
			for _, of := range e.Types {
				used[of] = true
				if of[0] >= 'A' && of[0] <= 'Z' && of != "Resource" && tables.Elements[of] == nil {
					t.Errorf("%s.%s has the type %s, which has no elements", name, e.Name, of)
				}
			}
		}
	}
	for name := range tables.Elements {
		if strings.Contains(name, ".") && !used[name] {
			t.Errorf("no element has the type %s", name)
		}
	}
	profiles := map[string]int{}
	for _, rule := range tables.Profiles {
		profiles[rule.Profile]++
		if rule.Max >= 0 && rule.Max < rule.Min || rule.Min == 0 && rule.Max < 0 {
			t.Errorf("%v: the cardinality %d..%d says nothing", rule.Path, rule.Min, rule.Max)
		}
	}
	if len(profiles) != 8 {
		t.Errorf("there are rules of the profiles %v, want all eight", profiles)
	}
}

// TestParseErrors checks that a mistake in a table is an error with its line.
func TestParseErrors(t *testing.T) {
	const codes, elements, profiles = "days\tmon tue\n", "A\tb\t0..1\tcode\tdays\n", "p\tA\tb\t1..1\n"
	if _, err := parse(elements, codes, profiles); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, elements, codes, profiles, want string }{
		{"fields", "# x\nA\tb\t0..1\n", codes, profiles, "elements.tsv:2: there are 3 fields"},
		{"cardinality", "A\tb\t0-1\tcode\n", codes, profiles, `elements.tsv:1: "0-1" is not a cardinality`},
		{"maximum", elements, codes, "p\tA\tb\t1..x\n", `profiles.tsv:1: "1..x" is not a cardinality`},
		{"value set", "A\tb\t0..1\tcode\tnights\n", codes, profiles, "elements.tsv:1: the value set nights"},
		{"codes", elements, "days\n", profiles, "codes.tsv:1: there are 1 fields"},
		{"condition", elements, codes, "p\tA\tb[c]\t1..1\n", `profiles.tsv:1: "c" is not a condition`},
		{"end of a condition", elements, codes, "p\tA\tb[c=d\t1..1\n", "profiles.tsv:1: the condition of b has no end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(c.elements, c.codes, c.profiles)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

// TestPaths checks that a step is written as it is read, also with dots in a URL.
func TestPaths(t *testing.T) {
	const text = "identifier[system=http://example.org/a.b].type.coding[system=x&use=y]"
	steps, err := path(text)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range steps {
		names = append(names, s.String())
	}
	if got := strings.Join(names, "."); got != text || len(steps) != 3 {
		t.Errorf("read as %q, %d steps", got, len(steps))
	}
}
