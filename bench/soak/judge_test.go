package soak

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The judge finds what an export must not do, whatever else it does right.
func TestJudge(t *testing.T) {
	a, h := Name{"Practitioner", "a"}, Name{"Practitioner", "h"}
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 10, minute, 0, 0, time.UTC) }
	instant := func(minute int) string { return at(minute).Format(time.RFC3339) }
	version := func(n Name, version, minute int) Line {
		text := line(n, version, n == h)
		r, err := readLine([]byte(stamp(text, version, instant(minute))))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	type export struct {
		since, until int // 0 for no _since
		lines        []Line
		due          int // version of a
	}
	for _, c := range []struct {
		name    string
		exports []export
		want    string
	}{
		{"full then delta", []export{{0, 10, []Line{version(a, 1, 5)}, 1}, {10, 20, []Line{version(a, 2, 15), version(h, 1, 12)}, 2}}, ""},
		{"nothing new", []export{{0, 10, []Line{version(a, 1, 5)}, 1}, {10, 20, nil, 1}}, ""},
		{"hidden in a full export", []export{{0, 10, []Line{version(a, 1, 5), version(h, 1, 5)}, 1}}, "though hidden"},
		{"hidden in a delta only", []export{{0, 20, []Line{version(a, 1, 5)}, 1}, {10, 20, []Line{version(h, 1, 12)}, 1}}, ""},
		{"after T", []export{{0, 10, []Line{version(a, 1, 11)}, 0}}, "after T"},
		{"not after _since", []export{{10, 20, []Line{version(a, 1, 5)}, 0}}, "not after _since"},
		{"old version", []export{{0, 10, []Line{version(a, 2, 5)}, 0}, {0, 20, []Line{version(a, 1, 4)}, 0}}, "version 2 was committed"},
		{"lost in a full export", []export{{0, 10, []Line{version(a, 1, 5)}, 0}, {0, 20, nil, 0}}, "is not there"},
		{"lost in a delta", []export{{0, 20, []Line{version(a, 2, 15)}, 0}, {10, 20, nil, 0}}, "is not there"},
		{"less than acknowledged", []export{{0, 10, []Line{version(a, 1, 5)}, 2}}, "version 2 was acknowledged"},
		{"nothing though acknowledged", []export{{0, 10, nil, 1}}, "is not there"},
		{"twice", []export{{0, 10, []Line{version(a, 1, 5), version(a, 1, 5)}, 0}}, "twice"},
		{"other bytes", []export{{0, 10, []Line{version(a, 1, 5)}, 0}, {0, 10, []Line{version(a, 1, 6)}, 0}}, "and was"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := NewHistory()
			l.Put(a, false)
			l.Put(a, false)
			l.Put(h, true)
			j := newChecker(l)
			var err error
			for i, x := range c.exports {
				r := result{job: fmt.Sprint(i), sinces: []string{""}, until: at(x.until)}
				if x.since > 0 {
					r.sinces[0] = instant(x.since)
				}
				if x.due > 0 {
					r.expected = map[Name]Expectation{a: {Version: x.due}}
				}
				if err = j.add(r, x.lines); err != nil {
					break
				}
			}
			if err == nil {
				err = j.check()
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// A job that answers nothing but a number has no reason.
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
