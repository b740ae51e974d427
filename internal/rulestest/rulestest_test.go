package rulestest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestModel checks the model by hand on the cascade that has most of the rules.
func TestModel(t *testing.T) {
	play(t, `
put Organization/o1 {"name":"Clinic"}
put Practitioner/p1
put PractitionerRole/r1 {"organization":"ref(Organization/o1)","practitioner":"ref(Practitioner/p1)","endpoint":["ref(Endpoint/e1)"]}
put Location/l1 {"managingOrganization":"ref(Organization/o1)","status":"active"}
put Endpoint/e1 {"status":"suspended"}
reactivate Endpoint/e1
put Provenance/v1 {"target":["ref(PractitionerRole/r1)"]}
visible Organization/o1 Practitioner/p1 PractitionerRole/r1 Location/l1 Endpoint/e1 Provenance/v1
suppress Organization/o1 includeSelf=false
visible Organization/o1 Practitioner/p1
delta Organization/o1 PractitionerRole/r1 Location/l1 Endpoint/e1 Provenance/v1
shows PractitionerRole/r1 suppressed=organisation-initiated active=absent
suppress Practitioner/p1
delta Practitioner/p1 PractitionerRole/r1
shows PractitionerRole/r1 suppressed=organisation-initiated,practitioner-initiated
put PractitionerRole/r2 {"organization":"ref(Organization/o2)","endpoint":["ref(Endpoint/e1)"]}
delta PractitionerRole/r2 Endpoint/e1
own Endpoint/e1
deactivate PractitionerRole/r2
shows Endpoint/e1 status=off suppressed=organisation-initiated
remove Organization/o1
deleted Organization/o1
visible none
lift Practitioner/p1
visible Practitioner/p1
shows PractitionerRole/r1 suppressed=organisation-initiated
put Organization/o1 {"name":"Clinic"}
visible Organization/o1 Practitioner/p1 PractitionerRole/r1 Location/l1 Endpoint/e1 Provenance/v1
own PractitionerRole/r1 Location/l1 Endpoint/e1
again Organization/o1
delta none
`)
}

// TestScriptErrors checks that a wrong expectation and a wrong command are reported with the line.
func TestScriptErrors(t *testing.T) {
	for script, want := range map[string]string{
		"put Organization/o1\nvisible none":                       "line 2: none: visible are Organization/o1",
		"put Organization/o1\ndelta none":                         "line 2: none: in the delta are Organization/o1",
		"put Organization/o1\nshows Organization/o1 active=false": "shows active=absent",
		"lift Organization/o1":                                    "put it first",
		"wibble Organization/o1":                                  `"wibble" is not a command`,
		"put Organization":                                        "Type/id",
	} {
		s, err := ParseScript(script, 1, "")
		if err == nil {
			err = s.Play(func(Step, *History) error { return nil }, nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", script, err, want)
		}
	}
}

func play(t *testing.T, script string) {
	t.Helper()
	s, err := ParseScript(script, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Play(func(Step, *History) error { return nil }, nil); err != nil {
		t.Error(err)
	}
}

// TestRepeated checks what clients may see of a load that is killed and repeated: it stores an
// organisation visible, then hidden together with a practitioner, in a second transaction.
func TestRepeated(t *testing.T) {
	organization := func(active bool) Change {
		return Put(Object{"resourceType": "Organization", "id": "o", "active": active})
	}
	h := &History{}
	h.Step(organization(true), organization(false), Put(Object{"resourceType": "Practitioner", "id": "p"}))
	seen := map[string]bool{}
	for _, view := range h.Repeated() {
		seen[fmt.Sprint(view.Visible())] = true
	}
	want := map[string]bool{"[]": true, "[Organization/o]": true, "[Practitioner/p]": true, "[Organization/o Practitioner/p]": true}
	if !maps.Equal(seen, want) {
		t.Errorf("clients may see %v, want %v", seen, want)
	}
}

// TestCopyFollowsTheModel checks that random steps reach what the rules know, and that a copy that
// follows the deltas of the model shows what the model shows.
func TestCopyFollowsTheModel(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(60) {
		g := &Generator{Random: rand.New(rand.NewPCG(seed, 0)), Prefix: "x-"}
		h, c := &History{}, &Copy{}
		for range 8 + seed%18 {
			s := g.Next(h.World)
			h.Step(s.Changes...)
			word, _, _ := strings.Cut(s.What, " ")
			seen[word]++
			output, deleted := h.Delta(h.Steps() - 1)
			for _, n := range output {
				c.Put(Source(h.View[n].Document))
			}
			for _, n := range deleted {
				c.Delete(n)
			}
			shown := c.Visible()
			for _, n := range h.View.Visible() {
				if shown[n] == "" {
					t.Fatalf("seed %d, %s: the copy does not show %s", seed, s.What, n)
				}
			}
			if len(shown) != len(h.View.Visible()) {
				t.Fatalf("seed %d, %s: the copy shows %d resources, the model %d", seed, s.What, len(shown), len(h.View.Visible()))
			}
			for n, r := range h.View {
				switch {
				case r.Inherits() && n.Type == "Endpoint":
					seen["inheriting endpoint"]++
				case r.Inherits():
					seen["inheriting"]++
				}
				if n.Type == "Endpoint" && len(h.World.referrers(n)) > 1 {
					seen["shared endpoint"]++
				}
				for _, p := range parents[n.Type] {
					to, ok := target(r.Own[p.element])
					_, exists := h.World.last(to)
					switch _, removed := h.World.Gone[to]; {
					case ok && removed && r.Inherits():
						seen["inheriting from a removed owner"]++
					case ok && !exists && to.Type == p.typ:
						seen["before its owner"]++
					}
				}
				if StateOf(r.Document) != r.State {
					t.Fatalf("seed %d, %s: %s does not show its state %+v: %v", seed, s.What, n, r.State, r.Document)
				}
			}
		}
	}
	for _, o := range operations {
		if seen[o.name] == 0 {
			t.Errorf("no step %s", o.name)
		}
	}
	for _, situation := range []string{"inheriting", "inheriting endpoint", "shared endpoint", "inheriting from a removed owner", "before its owner"} {
		if seen[situation] == 0 {
			t.Errorf("the steps do not lead to the situation %q: %v", situation, seen)
		}
	}
	t.Log(seen)
}
