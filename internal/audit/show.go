package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Filter selects events. Empty fields select all.
type Filter struct {
	Client       string // the id of the OAuth client, the principal, or the address
	Since, Until time.Time
	Interactions []Interaction // Log for the notices
	Statuses     []string      // a status, or 4xx for all from 400 to 499
}

// Log is the interaction of notices in a [Filter].
const Log Interaction = "log"

// Interactions returns the names of all interactions.
func Interactions() []Interaction {
	return append(slices.Sorted(maps.Keys(asFHIR)), Log)
}

// Selects reports whether an event is selected. A summary of refused requests is, if one of them is.
func (f Filter) Selects(e Entry) bool {
	notice := e.Log.Kind != ""
	switch {
	case !f.Since.IsZero() && e.Time.Before(f.Since), !f.Until.IsZero() && !e.Time.Before(f.Until):
		return false
	case f.Client != "" && (notice || f.Client != e.Client && f.Client != e.Principal && f.Client != e.Remote):
		return false
	case len(f.Interactions) > 0 && !slices.Contains(f.Interactions, e.Interaction) && !(notice && slices.Contains(f.Interactions, Log)):
		return false
	}
	return len(f.Statuses) == 0 || !notice && slices.ContainsFunc(f.Statuses, func(want string) bool { return e.hasStatus(want) })
}

// hasStatus reports whether a request of the event was answered with a status.
func (e Event) hasStatus(want string) bool {
	has := func(status string) bool {
		return status == want || strings.HasSuffix(want, "xx") && len(status) == 3 && status[0] == want[0]
	}
	if len(e.Statuses) == 0 {
		return has(strconv.Itoa(e.Status))
	}
	return slices.ContainsFunc(slices.Collect(maps.Keys(e.Statuses)), has)
}

// unmarshalEntry reads a line. It reports false if the line is not an event.
func unmarshalEntry(text []byte) (e Entry, ok bool) {
	return e, json.Unmarshal(text, &e) == nil && !e.Time.IsZero()
}

// Each calls yield for each event of the log at path, with its line: those of the rotated files and
// of the file itself, oldest first. A server may write to the log meanwhile. Lines that are not events
// are counted: such lines remain of versions before the chain. The line is valid until yield returns.
func Each(ctx context.Context, path string, yield func(Entry, []byte) error) (others int, err error) {
	files, err := openLog(path)
	if err != nil {
		return 0, fmt.Errorf("open audit log: %w", err)
	}
	defer files.close()
	for _, f := range files {
		err := f.each(func(l line) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			e, ok := unmarshalEntry(l.text)
			switch {
			case !ok && l.complete:
				others++
				return nil
			case !ok:
				return nil // being written
			}
			return yield(e, l.text)
		})
		if err != nil {
			return others, err
		}
	}
	return others, nil
}

// IsRotated reports whether a file name is that of a rotated log, compressed or not.
func IsRotated(name string) bool { return rotatedName.MatchString(name) }

var rotatedName = regexp.MustCompile(`-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}[^/]*$`)
