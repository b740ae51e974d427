package soak

import (
	"fmt"
	"strings"
	"testing"
)

// TestChainFindsMistakes checks that a chain reports every kind of wrong export.
func TestChainFindsMistakes(t *testing.T) {
	a, b := Name{"Practitioner", "a"}, Name{"Location", "b"}
	const before, from, amid, until, after = "2026-03-01T09:00:00.000Z", "2026-03-01T10:00:00.000Z", "2026-03-01T10:30:00.000Z", "2026-03-01T11:00:00.000Z", "2026-03-01T11:00:00.001Z"
	good := func(n Name, version int, committed string) string {
		return stamp(line(n, version, false), version, committed)
	}
	for _, c := range []struct {
		name, lines, want string
	}{
		{"nothing", "", ""},
		{"right", good(a, 2, amid), ""},
		{"at T", good(a, 2, until), ""},
		{"after T", good(a, 2, after), "after the transaction time"},
		{"at _since", good(a, 2, from), "not after _since"},
		{"before _since", good(a, 2, before), "not after _since"},
		{"again", good(a, 1, amid), "is repeated"},
		{"twice", good(a, 2, amid) + good(a, 2, amid), "is repeated"},
		{"backwards", good(a, 3, amid) + good(a, 2, amid), "follows version 3"},
		{"unwritten version", good(a, 4, amid), "3 were written"},
		{"unwritten resource", good(Name{"Practitioner", "x"}, 1, amid), "never written"},
		{"removal", good(b, 2, amid), "its removal"},
		{"other text", strings.ReplaceAll(good(a, 2, amid), "V2", "V1"), "says that it is V1"},
		{"other state", strings.ReplaceAll(good(a, 2, amid), "true", "false"), "has hidden true"},
		{"cut off", strings.TrimSuffix(good(a, 2, amid), "\n"), "truncated"},
		{"broken", "{\n", "unexpected end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			history := NewHistory()
			for range 3 {
				history.Put(a, false)
			}
			history.Put(b, false)
			history.Remove(b)
			chain := NewChain(history)
			chain.since, chain.last = from, map[Name]int{a: 1}
			var all []Line
			var err error
			for text := range strings.Lines(c.lines) {
				var r Line
				if r, err = readLine([]byte(text)); err != nil {
					break
				}
				all = append(all, r)
			}
			if err == nil {
				err = chain.add(until, all)
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// stamp adds the meta element that the directory adds to a line.
func stamp(text string, version int, committed string) string {
	return strings.Replace(text, `,"id"`, fmt.Sprintf(`,"meta":{"versionId":"%d","lastUpdated":%q},"id"`, version, committed), 1)
}

// TestHistoryExpectations checks that acknowledged resources are expected until their
// removal starts, and that Verify reports a missing resource.
func TestHistoryExpectations(t *testing.T) {
	history := NewHistory()
	a, h := Name{"Practitioner", "a"}, Name{"Practitioner", "h"}
	history.Put(a, false)
	if n := len(history.Expectations(true)); n != 0 {
		t.Errorf("%d expectations before anything is acknowledged", n)
	}
	history.Acknowledge(a)
	history.Put(h, true)
	history.Acknowledge(h)
	expected := history.Expectations(true)
	if len(expected) != 2 || len(history.Expectations(false)) != 1 || expected[a].Version != 1 {
		t.Errorf("expected %v, visible %v", expected, history.Expectations(false))
	}
	history.Put(a, false)
	if !history.StillExpected(a, expected[a]) {
		t.Error("a resource is not expected any more, though it was not removed")
	}
	history.Remove(a)
	if history.StillExpected(a, expected[a]) || len(history.Expectations(true)) != 1 || history.LastIsPut(a) {
		t.Error("a resource is still expected, though it is being removed")
	}
	c := NewChain(history)
	if err := c.Verify(); err == nil || !strings.Contains(err.Error(), "Practitioner/h has version 1 at the end") {
		t.Errorf("a lost resource at the end: error %v", err)
	}
}
