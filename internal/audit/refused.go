package audit

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"
)

const (
	// summaryInterval is the time that one event about refused requests covers.
	summaryInterval = time.Second
	// maxSummaries is how many clients have an event of their own in that time. Further ones
	// share the event of otherClients.
	maxSummaries = 100
	otherClients = "other clients"
	// maxRefusedText is the maximum length, in bytes, of a path or query of a refused request.
	maxRefusedText = 256
)

// RecordRefused counts a refused request of a client. The requests that a client was refused
// within a second are one event: that of the first one, with their number, statuses and bytes. It
// is written a second after it, or by Close. Its path and query are cut, and it has no filters.
func (f *File) RecordRefused(client string, e Event) {
	e.Path, e.Query, e.Filters, e.Since = shortenTo(e.Path, maxRefusedText), shortenTo(e.Query, maxRefusedText), nil, ""
	f.refusedMu.Lock()
	defer f.refusedMu.Unlock()
	if f.closed {
		return
	}
	if f.refused[client] == nil && len(f.refused) >= maxSummaries {
		client = otherClients
		e.Principal, e.Remote, e.RequestID, e.Path, e.Query = otherClients, "", "", "", ""
	}
	if len(f.refused) == 0 {
		f.refused = map[string]*summary{}
		f.after(summaryInterval, f.writeRefused)
	}
	s := f.refused[client]
	if s == nil {
		s = &summary{first: e, statuses: map[int]int{}}
		f.refused[client] = s
	}
	s.count++
	s.bytes += e.Bytes
	s.statuses[e.Status]++
}

// summary are the refused requests of a client within a second.
type summary struct {
	first    Event
	count    int
	bytes    int64
	statuses map[int]int
}

// event returns the event of the summary. A single request has an event as any other.
func (s *summary) event() Event {
	e := s.first
	if s.count == 1 {
		return e
	}
	e.Count, e.Bytes, e.Statuses = s.count, s.bytes, map[string]int{}
	for status, n := range s.statuses {
		e.Statuses[strconv.Itoa(status)] = n
	}
	return e
}

// writeRefused writes the events of the refused requests so far, in the order of their times.
func (f *File) writeRefused() {
	f.refusedMu.Lock()
	refused := slices.Collect(maps.Values(f.refused))
	f.refused = nil
	f.refusedMu.Unlock()
	slices.SortFunc(refused, func(a, b *summary) int {
		return cmp.Or(a.first.Time.Compare(b.first.Time), cmp.Compare(a.first.RequestID, b.first.RequestID))
	})
	for _, s := range refused {
		f.Record(s.event())
	}
}

// closeRefused writes the last events of refused requests. Later ones are not recorded.
func (f *File) closeRefused() {
	f.refusedMu.Lock()
	f.closed = true
	f.refusedMu.Unlock()
	f.writeRefused()
}
