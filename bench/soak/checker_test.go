package soak

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestChecker checks that the checker reports every kind of wrong export.
func TestChecker(t *testing.T) {
	a, hidden := Name{"Practitioner", "a"}, Name{"Practitioner", "hidden"}
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 10, minute, 0, 0, time.UTC) }
	instant := func(minute int) string { return at(minute).Format(time.RFC3339) }
	version := func(n Name, version, minute int) Line {
		text := line(n, version, n == hidden)
		r, err := readLine([]byte(stamp(text, version, instant(minute))))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	type export struct {
		since, until int // 0 for no _since
		lines        []Line
		want         int // expected version of a
	}
	for _, c := range []struct {
		name    string
		exports []export
		want    string
	}{
		{"full then delta", []export{{0, 10, []Line{version(a, 1, 5)}, 1}, {10, 20, []Line{version(a, 2, 15), version(hidden, 1, 12)}, 2}}, ""},
		{"nothing new", []export{{0, 10, []Line{version(a, 1, 5)}, 1}, {10, 20, nil, 1}}, ""},
		{"hidden in a full export", []export{{0, 10, []Line{version(a, 1, 5), version(hidden, 1, 5)}, 1}}, "though hidden"},
		{"hidden in a delta only", []export{{0, 20, []Line{version(a, 1, 5)}, 1}, {10, 20, []Line{version(hidden, 1, 12)}, 1}}, ""},
		{"after T", []export{{0, 10, []Line{version(a, 1, 11)}, 0}}, "after T"},
		{"is not after _since", []export{{10, 20, []Line{version(a, 1, 5)}, 0}}, "is not after _since"},
		{"old version", []export{{0, 10, []Line{version(a, 2, 5)}, 0}, {0, 20, []Line{version(a, 1, 4)}, 0}}, "version 2 was committed"},
		{"lost in a full export", []export{{0, 10, []Line{version(a, 1, 5)}, 0}, {0, 20, nil, 0}}, "is missing"},
		{"lost in a delta", []export{{0, 20, []Line{version(a, 2, 15)}, 0}, {10, 20, nil, 0}}, "is missing"},
		{"less than acknowledged", []export{{0, 10, []Line{version(a, 1, 5)}, 2}}, "version 2 was acknowledged"},
		{"missing though acknowledged", []export{{0, 10, nil, 1}}, "is missing"},
		{"twice", []export{{0, 10, []Line{version(a, 1, 5), version(a, 1, 5)}, 0}}, "twice"},
		{"other bytes", []export{{0, 10, []Line{version(a, 1, 5)}, 0}, {0, 10, []Line{version(a, 1, 6)}, 0}}, "and was"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := NewHistory()
			h.Put(a, false)
			h.Put(a, false)
			h.Put(hidden, true)
			checker := newChecker(h)
			var err error
			for i, x := range c.exports {
				r := result{job: fmt.Sprint(i), sinces: []string{""}, until: at(x.until)}
				if x.since > 0 {
					r.sinces[0] = instant(x.since)
				}
				if x.want > 0 {
					r.expected = map[Name]Expectation{a: {Version: x.want}}
				}
				if err = checker.add(r, x.lines); err != nil {
					break
				}
			}
			if err == nil {
				err = checker.check()
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestReasons checks which answers of failed jobs contain a reason.
func TestReasons(t *testing.T) {
	for body, want := range map[string]bool{
		`{"resourceType":"OperationOutcome","issue":[{"diagnostics":"The export could not be finished after 3 attempts. Please start it again."}]}`: true,
		`{"resourceType":"OperationOutcome","issue":[{"diagnostics":"internal error"}]}`:                                                            false,
		`{"resourceType":"OperationOutcome"}`: false,
		`oops`:                                false,
	} {
		if err := hasReason(body); (err == nil) != want {
			t.Errorf("%s: error %v", body, err)
		}
	}
}
