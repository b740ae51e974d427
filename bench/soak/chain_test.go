package soak

import (
	"fmt"
	"strings"
	"testing"
)

// The bookkeeper finds each kind of mistake that an export could make.
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
		{"again", good(a, 1, amid), "came before"},
		{"twice", good(a, 2, amid) + good(a, 2, amid), "came before"},
		{"backwards", good(a, 3, amid) + good(a, 2, amid), "came after version 3"},
		{"unwritten version", good(a, 4, amid), "3 were written"},
		{"unwritten resource", good(Name{"Practitioner", "x"}, 1, amid), "never written"},
		{"removal", good(b, 2, amid), "its removal"},
		{"other text", strings.ReplaceAll(good(a, 2, amid), "V2", "V1"), "says it is V1"},
		{"other state", strings.ReplaceAll(good(a, 2, amid), "true", "false"), "has hidden true"},
		{"cut off", strings.TrimSuffix(good(a, 2, amid), "\n"), "cut off"},
		{"broken", "{\n", "unexpected end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := NewHistory()
			for range 3 {
				l.Put(a, false)
			}
			l.Put(b, false)
			l.Remove(b)
			chain := NewChain(l)
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

// stamp puts into a line what the directory puts there.
func stamp(text string, version int, committed string) string {
	return strings.Replace(text, `,"id"`, fmt.Sprintf(`,"meta":{"versionId":"%d","lastUpdated":%q},"id"`, version, committed), 1)
}

// What is due is what was acknowledged, until its removal begins; and what is missing
// at the end is found.
func TestLedgerKnowsItsDues(t *testing.T) {
	l := NewHistory()
	a, h := Name{"Practitioner", "a"}, Name{"Practitioner", "h"}
	l.Put(a, false)
	if n := len(l.Expectations(true)); n != 0 {
		t.Errorf("%d dues before anything is acknowledged", n)
	}
	l.Acknowledge(a)
	l.Put(h, true)
	l.Acknowledge(h)
	dues := l.Expectations(true)
	if len(dues) != 2 || len(l.Expectations(false)) != 1 || dues[a].Version != 1 {
		t.Errorf("dues %v, visible %v", dues, l.Expectations(false))
	}
	l.Put(a, false)
	if !l.StillExpected(a, dues[a]) {
		t.Error("a debt is off though nothing was removed")
	}
	l.Remove(a)
	if l.StillExpected(a, dues[a]) || len(l.Expectations(true)) != 1 || l.LastIsPut(a) {
		t.Error("a debt stands though its resource is being removed")
	}
	c := NewChain(l)
	if err := c.Verify(); err == nil || !strings.Contains(err.Error(), "Practitioner/h has version 1 at the end") {
		t.Errorf("a lost resource at the end: error %v", err)
	}
}
