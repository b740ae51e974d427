package scope

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"muster/internal/auth"
	"muster/internal/fhir"
	"muster/internal/testkit/golden"
)

// TestGrants: what scopes grant is in testdata/grants.txt.
func TestGrants(t *testing.T) {
	t.Attr("requirements", "AU-02 AU-06 SC-01 SC-02 SC-03 SC-04 SC-09")
	golden.CheckAnswers(t, "testdata/grants.txt", func(_ *testing.T, line string) string {
		if line == "" || strings.HasPrefix(line, "#") {
			return ""
		}
		return describe(Default().Grants(Split(line)))
	})
}

// describe writes grants as the answers of a golden file.
func describe(g auth.Grants) string {
	var b strings.Builder
	for _, i := range known {
		switch types := g[i]; types {
		case 0:
		case fhir.AllTypes():
			fmt.Fprintf(&b, "  %s: all\n", i)
		default:
			fmt.Fprintf(&b, "  %s: %s\n", i, types)
		}
	}
	if b.Len() == 0 {
		return "  -\n"
	}
	return b.String()
}

// TestScopesAddUp: the grants of scopes together are never less than those of each, and do not
// depend on the order. Only SMART's letters make more than the sum, and only exports.
func TestScopesAddUp(t *testing.T) {
	table := Default()
	pool := append(table.Supported(), "system/Organization.r", "system/Organization.s", "system/*.s", "system/Location.cruds", "user/*.rs", "system/*.rs?x=y")
	for range 2000 {
		some := make([]string, 1+rand.IntN(4))
		var sum auth.Grants
		for n := range some {
			some[n] = pool[rand.IntN(len(pool))]
			sum = sum.Or(table.Grant(some[n]))
		}
		together := table.Grants(some)
		slices.Reverse(some)
		if together != table.Grants(some) {
			t.Fatalf("%v: the order counts", some)
		}
		if together.And(sum) != sum || together[auth.Read] != sum[auth.Read] || together[auth.Search] != sum[auth.Search] ||
			!(sum[auth.Read] & sum[auth.Search]).Covers(together[auth.Export].Without(sum[auth.Export])) {
			t.Fatalf("%v: %v, each alone %v", some, together, sum)
		}
	}
}

// TestSupported: all scopes that are published grant something.
func TestSupported(t *testing.T) {
	list := Default().Supported()
	for _, s := range list {
		if Default().Grant(s) == (auth.Grants{}) || !Valid(s) {
			t.Errorf("%s grants nothing", s)
		}
	}
	for _, s := range []string{"search", "read", "export", "system/*.rs", "system/*.read", "system/Provenance.rs"} {
		if !slices.Contains(list, s) {
			t.Errorf("%s is missing in %v", s, list)
		}
	}
}

// TestFile: a file replaces the table.
func TestFile(t *testing.T) {
	t.Attr("requirements", "AU-06")
	table, err := Parse(strings.ReplaceAll(`
# our names
directory.read    = read, search     # both
organisations     = export Organization Location
api://muster#x=y  = Organization search

`, "\n", "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	for scopes, want := range map[string]string{
		"directory.read":   "  search: all\n  read: all\n",
		"organisations":    "  export: Organization, Location\n",
		"api://muster#x=y": "  search: Organization\n",
		"search":           "  -\n",
		"system/*.rs":      "  -\n",
	} {
		if got := describe(table.Grants(Split(scopes))); got != want {
			t.Errorf("%s grants\n%swant\n%s", scopes, got, want)
		}
	}
	if got := strings.Join(table.Supported(), " "); got != "directory.read organisations api://muster#x=y" {
		t.Errorf("supported: %s", got)
	}
	table, err = Parse("\ufeffsmart\nsystem/*.rs = search")
	if err != nil {
		t.Fatal(err)
	}
	if got := describe(table.Grants([]string{"system/*.rs", "system/Location.rs"})); got != "  search: all\n  read: Location\n  export: Location\n" {
		t.Errorf("a line comes before the family:\n%s", got)
	}
}

// TestBadFiles: errors name the line and say what to write.
func TestBadFiles(t *testing.T) {
	for text, want := range map[string]string{
		"":                            `the table has no scope, so no client could do anything: write lines such as "search = search"`,
		"search = search\nread":       `line 2: "read" is neither "scope = interactions [types]" nor the word smart: write a line such as "directory.read = read search"`,
		"a b = read":                  `line 1: "a b" is not the text of one scope: write printable ASCII without spaces and quotes`,
		"= read":                      `line 1: "" is not the text of one scope: write printable ASCII without spaces and quotes`,
		"a = write":                   `line 1: the scope a: "write" is neither an interaction nor a type: write some of search, read, export, then the types if it is not all: Organization, Location, Endpoint, HealthcareService, Practitioner, PractitionerRole, Provenance`,
		"a = Organization":            `line 1: the scope a: no interaction follows the sign =: write some of search, read, export`,
		"\n\na = read\na = search":    `line 4: the scope a has a line already: write all that it grants in one line`,
		"a = read\xff":                `the table is not UTF-8: save it as UTF-8`,
		strings.Repeat("#", 64<<10+1): `the table is larger than 64KiB: list fewer scopes`,
	} {
		if _, err := Parse(text); err == nil || err.Error() != want {
			t.Errorf("%.20q: %v\nwant %s", text, err, want)
		}
	}
}

// FuzzScopes: no table and no scope leads to a panic, and a scope with a ? or for a user grants
// nothing by the default table.
func FuzzScopes(f *testing.F) {
	f.Add("search = search\nsmart", "system/*.rs read")
	f.Add("a=read Organization # x", "a system/Organization.cruds?x")
	f.Fuzz(func(t *testing.T, text, scopes string) {
		if table, err := Parse(text); err == nil {
			table.Grants(Split(scopes))
			for _, s := range table.Supported() {
				if table.Grant(s) == (auth.Grants{}) {
					t.Errorf("%q is supported and grants nothing", s)
				}
			}
		}
		for _, s := range Split(scopes) {
			if g := Default().Grant(s); g != (auth.Grants{}) && (strings.Contains(s, "?") || !strings.HasPrefix(s, "system/") && !slices.Contains([]string{"search", "read", "export"}, s)) {
				t.Errorf("%q grants %v", s, g)
			}
		}
	})
}
