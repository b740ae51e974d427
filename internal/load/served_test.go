package load_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/google/go-cmp/cmp"
)

const suppression = `"extension":[{"url":"` + policy.SuppressedURL + `","extension":[{"url":"suppressedBy","valueCodeableConcept":{"coding":[{"system":"` + policy.ResponsibleParty + `","code":"organisation-initiated"}]}}]}]`

// graph is an Organization and what may inherit its state.
func graph(state string) string {
	const owner = `,"managingOrganization":{"reference":"Organization/o"}`
	return strings.Join([]string{
		visible(fhir.Organization, "o", state),
		visible(fhir.PractitionerRole, "r", `,"organization":{"reference":"Organization/o"},"endpoint":[{"reference":"Endpoint/used"}]`),
		strings.Replace(visible(fhir.Location, "l", owner), `"active"`, `"suspended"`, 1),
		visible(fhir.Endpoint, "used", ""),
	}, "\n")
}

var dependants = []struct {
	t  fhir.Type
	id string
}{{fhir.PractitionerRole, "r"}, {fhir.Location, "l"}, {fhir.Endpoint, "used"}}

// served returns the lines of the resources of graph that may inherit a state.
func (p *directory) served() (lines []string) {
	p.Helper()
	for _, d := range dependants {
		lines = append(lines, p.line(d.t, d.id))
	}
	return lines
}

var metaOfVersion = regexp.MustCompile(`"versionId":"[0-9]+","lastUpdated":"[^"]+"`)

// content returns lines without their versions.
func content(lines []string) (contents []string) {
	for _, l := range lines {
		contents = append(contents, metaOfVersion.ReplaceAllString(l, ""))
	}
	return contents
}

// hiddenGraph loads graph with its Organization visible and then hidden, and returns the lines of the
// dependants before and after that.
func (p *directory) hiddenGraph() (before, after []string) {
	p.Helper()
	p.load(graph(""))
	before = p.served()
	p.load(visible(fhir.Organization, "o", ","+suppression))
	after = p.served()
	for n := range after {
		if after[n] == before[n] {
			p.Fatalf("%s inherits nothing", after[n])
		}
	}
	return before, after
}

// TestOwnDelta checks that what a directory serves can be loaded into it: the inherited states do not
// become own ones, and lifting gives the resources back as they were. Members may have another order.
func TestOwnDelta(t *testing.T) {
	both(t, func(t *testing.T, p *directory) {
		before, after := p.hiddenGraph()
		delta := slices.Clone(after)
		var members map[string]any
		if err := json.Unmarshal([]byte(after[0]), &members); err != nil {
			t.Fatal(err)
		}
		sorted, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		delta = append(delta, string(sorted))
		s, refused, _ := p.load(strings.Join(delta, "\n"))
		if s.Unchanged != 4 || s.Read != 4 || len(refused) > 0 {
			t.Errorf("summary %+v, refused %+v; want 4 unchanged", s, refused)
		}
		if diff := cmp.Diff(after, p.served()); diff != "" {
			t.Errorf("after the load (-want +got)\n%s", diff)
		}
		p.load(graph(""))
		if diff := cmp.Diff(content(before), content(p.served())); diff != "" {
			t.Errorf("after lifting (-want +got)\n%s", diff)
		}
	})
}

// TestServedVersions checks what becomes of a line that a directory has served with a state that it
// may have inherited.
func TestServedVersions(t *testing.T) {
	const here, elsewhere = "this directory has served", "a directory has served"
	other := func(line string) string {
		return metaOfVersion.ReplaceAllString(line, `"versionId":"7","lastUpdated":"2026-01-01T00:00:00.000Z"`)
	}
	role := func(p *directory) index.Visibility { return p.row(fhir.PractitionerRole, "r").Visibility }
	lift := func(p *directory) { p.load(visible(fhir.Organization, "o", "")) }
	changed := func() string {
		return strings.Replace(strings.Split(graph(""), "\n")[1], `"value":"1"`, `"value":"2"`, 1)
	}
	own := strings.NewReplacer(`"active":true`, `"active":false`)
	derived := func(id string) string {
		return `,"identifier":[{"system":"` + policy.LocalSystem + `","value":"` + load.LocalIdentifier(fhir.PractitionerRole, id) + `"}]`
	}
	newRole := func(id, identifier string) string {
		return `{"resourceType":"PractitionerRole","id":"` + id + `","meta":{"versionId":"7","lastUpdated":"2026-01-01T00:00:00.000Z"},"active":false,"organization":{"reference":"Organization/o"}` + identifier + `}`
	}
	for name, c := range map[string]struct {
		text   func(p *directory, before, after string) string // prepares the directory, and returns what is loaded
		want   string                                          // the reason of the refusal, "" for none
		stored load.Stored
		state  index.Visibility // of the role afterwards
	}{
		"an older version of this directory": {func(p *directory, _, after string) string { lift(p); return after }, here, load.StillServed, 0},
		"one that was changed while it inherited": {func(p *directory, _, _ string) string {
			p.load(changed())
			line := p.line(fhir.PractitionerRole, "r")
			lift(p)
			return line
		}, here, load.StillServed, 0},
		"one that was suppressed itself, too": {func(p *directory, _, _ string) string {
			p.load(strings.Replace(changed(), `"active"`, suppression+`,"active"`, 1))
			line := p.line(fhir.PractitionerRole, "r")
			lift(p)
			p.load(changed())
			return line
		}, here, load.NowHidden, index.Suppressed},
		"one that was suppressed itself": {func(p *directory, _, _ string) string {
			lift(p)
			p.load(strings.Replace(changed(), `"active"`, suppression+`,"active"`, 1))
			line := p.line(fhir.PractitionerRole, "r")
			p.load(changed())
			return line
		}, here, load.NowHidden, index.Suppressed},
		"one from before the resource was removed": {func(p *directory, _, after string) string {
			lift(p)
			p.remove(fhir.PractitionerRole, "r")
			p.load(changed())
			return after
		}, here, load.StillServed, 0},
		"changed, with the inherited state": {func(_ *directory, _, after string) string { return strings.Replace(after, `"1"}]`, `"2"}]`, 1) }, here, load.AlreadyHidden, index.Suppressed},
		"changed to a state of its own": {func(p *directory, _, _ string) string {
			lift(p)
			return own.Replace(p.line(fhir.PractitionerRole, "r"))
		}, "", "", index.Inactive},
		"an older version, changed":         {func(p *directory, before, _ string) string { lift(p); return own.Replace(before) }, here, load.NowHidden, index.Inactive},
		"of another directory":              {func(p *directory, _, after string) string { lift(p); return other(after) }, elsewhere, load.NowHidden, index.Suppressed},
		"of another directory, hidden here": {func(_ *directory, _, after string) string { return other(after) }, elsewhere, load.AlreadyHidden, index.Suppressed},
		"of another directory, new":         {func(*directory, string, string) string { return newRole("new", derived("new")) }, elsewhere, "", index.Suppressed},
		"of another directory, without meta": {func(p *directory, _, after string) string {
			lift(p)
			return metaOfVersion.ReplaceAllString(after, `"source":"x"`)
		}, "", "", index.Suppressed},
		"of a source with versions": {func(*directory, string, string) string { return newRole("new", "") }, "", "", index.Suppressed},
		"of another directory, without owner": {func(*directory, string, string) string {
			return strings.Replace(newRole("new", derived("new")), "reference", "display", 1)
		}, "", "", index.Suppressed},
		"of another directory, visible": {func(_ *directory, before, _ string) string { return other(before) }, "", "", index.Suppressed},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, p *directory) {
				before, after := p.hiddenGraph()
				s, refused, _ := p.load(c.text(p, before[0], after[0]))
				switch {
				case s.Read != 1 || len(refused) != int(s.RefusedTotal()) || s.RefusedTotal()+s.Loaded() != 1:
					t.Errorf("summary %+v, refused %+v; want one resource", s, refused)
				case c.want == "" && len(refused) > 0:
					t.Errorf("refused %+v", refused)
				case c.want != "" && (len(refused) == 0 || !strings.HasPrefix(refused[0].Reason, c.want) || refused[0].Kind != load.MaybeInherited || refused[0].Stored != c.stored):
					t.Errorf("refused %+v, want %q, the older version %q", refused, c.want, c.stored)
				}
				if got := role(p); got != c.state {
					t.Errorf("the role has the state %d, want %d", got, c.state)
				}
			})
		})
	}
}

// TestWrittenWhileInherited checks that versions that were created or changed while they inherited a
// state can be loaded when they do not inherit it any more: they hide nothing. A line of a resource
// that was removed does not create it again.
func TestWrittenWhileInherited(t *testing.T) {
	const owned = `,"managingOrganization":{"reference":"Organization/o"},"identifier":[{"system":"` + policy.LocalSystem + `","value":"1"}]`
	for name, state := range map[string]string{"suppressed": "," + suppression, "inactive": `,"active":false`} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, p *directory) {
				organization := func(more string) {
					p.load(strings.Replace(visible(fhir.Organization, "o", more), `,"active":true`, "", 1))
				}
				organization("")
				p.load(visible(fhir.Location, "changed", owned) + "\n" + visible(fhir.Location, "removed", owned))
				organization(state)
				p.load(visible(fhir.Location, "changed", owned+`,"description":"x"`) + "\n" + visible(fhir.Location, "created", owned))
				var delta, want []string
				for _, id := range []string{"changed", "created", "removed"} {
					delta = append(delta, p.line(fhir.Location, id))
				}
				organization("")
				p.remove(fhir.Location, "removed")
				for _, id := range []string{"changed", "created"} {
					want = append(want, p.line(fhir.Location, id))
				}
				s, refused, _ := p.load(strings.Join(delta, "\n"))
				if s.RefusedTotal() != 3 || len(refused) != 3 || refused[0].Stored != load.StillServed || refused[1].Stored != load.StillServed || refused[2].Stored != "" {
					t.Errorf("summary %+v, refused %+v; want 3 refused, of which 2 are still served", s, refused)
				}
				if rows, err := p.store.Lookup(t.Context(), fhir.Location, []string{"removed"}); err != nil || len(rows) > 0 {
					t.Errorf("the removed Location has the rows %+v, %v", rows, err)
				}
				if diff := cmp.Diff(want, []string{p.line(fhir.Location, "changed"), p.line(fhir.Location, "created")}); diff != "" {
					t.Errorf("after the load (-want +got)\n%s", diff)
				}
			})
		})
	}
}

// remove removes a resource.
func (p *directory) remove(t fhir.Type, id string) {
	p.Helper()
	if _, err := p.store.Apply(p.Context(), []store.Change{{Type: t, ID: id, Remove: true}}); err != nil {
		p.Fatal(err)
	}
}

// TestServedVersionsInOrder checks that refusals are reported in the order of the source.
func TestServedVersionsInOrder(t *testing.T) {
	oneDatabase(t, func(t *testing.T, p *directory) {
		_, after := p.hiddenGraph()
		p.load(graph(""))
		_, refused, _ := p.load(strings.Join([]string{"{", after[1], visible(fhir.Location, "new", ""), `{"resourceType":"Location","id":"l","status":"Inactive"}`, after[0], "x"}, "\n"))
		var got []int
		for _, r := range refused {
			got = append(got, r.Line)
		}
		if diff := cmp.Diff([]int{1, 2, 4, 5, 6}, got); diff != "" {
			t.Errorf("lines of refusals (-want +got)\n%s", diff)
		}
	})
}
