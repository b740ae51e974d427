package audit

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"
)

const (
	// singleInterval is the time in which the first refused requests of a client have an event
	// of their own: maxSingle of each client, and maxSingles of all clients.
	singleInterval = time.Minute
	maxSingle      = 20
	maxSingles     = 1000
	// summaryInterval is the time that one event about further refused requests covers.
	summaryInterval = time.Second
	// maxSummaries is how many clients have an event of their own in that time. Further ones
	// share the event of otherClients.
	maxSummaries = 100
	otherClients = "other clients"
	// maxRefusedText is the maximum length, in bytes, of each text of a refused request.
	maxRefusedText = 256
)

// RecordRefused records a refused request of a client. The first 20 refused requests of a client in
// a minute, up to 1,000 of all clients, have an event each. The further ones of a client within a
// second are one event: that of the first one, with their number, statuses, routes and bytes. It is
// written a second after it, or by Close. The texts of the event are cut to 256 bytes.
func (f *File) RecordRefused(client, route string, e Event) {
	e.cut()
	f.refusedMu.Lock()
	if f.closed {
		f.refusedMu.Unlock()
		return
	}
	single := f.singles.take(client, f.now())
	if !single {
		f.summarise(client, route, e)
	}
	f.refusedMu.Unlock()
	if single {
		f.Record(e)
	}
}

// cut cuts the texts that the client has chosen. Of filters, which can be many, the first ones stay.
func (e *Event) cut() {
	for _, text := range []*string{&e.Method, &e.Path, &e.Query, &e.Job, &e.File} {
		*text = shortenTo(*text, maxRefusedText)
	}
	room := maxRefusedText
	for n, filter := range e.Filters {
		if len(filter) > room {
			e.Filters = append(slices.Clone(e.Filters[:n]), shortenTo(filter, room))
			return
		}
		room -= len(filter)
	}
}

// singles counts the refused requests with an event of their own.
type singles struct {
	since  time.Time
	all    int
	counts map[string]int // by client
}

// take counts a request of a client and reports true if it has an event of its own.
func (s *singles) take(client string, now time.Time) bool {
	if s.counts == nil || now.Sub(s.since).Abs() >= singleInterval {
		*s = singles{since: now, counts: map[string]int{}}
	}
	if s.all == maxSingles || s.counts[client] == maxSingle {
		return false
	}
	s.all++
	s.counts[client]++
	return true
}

// summarise counts a request in the event of its client and second. The caller holds refusedMu.
func (f *File) summarise(client, route string, e Event) {
	if f.refused[client] == nil && len(f.refused) >= maxSummaries {
		client = otherClients
		e = Event{Time: e.Time, Principal: otherClients, Interaction: e.Interaction, Status: e.Status, Issue: e.Issue, Bytes: e.Bytes, MS: e.MS}
	}
	if len(f.refused) == 0 {
		f.refused = map[string]*summary{}
		f.after(summaryInterval, f.writeRefused)
	}
	s := f.refused[client]
	if s == nil {
		s = &summary{first: e, statuses: map[string]int{}, routes: map[string]int{}}
		f.refused[client] = s
	}
	s.count++
	s.bytes += e.Bytes
	s.statuses[strconv.Itoa(e.Status)]++
	s.routes[route]++
}

// summary are the refused requests of a client within a second.
type summary struct {
	first            Event
	count            int
	bytes            int64
	statuses, routes map[string]int
}

// event returns the event of the summary. A single request has an event as any other.
func (s *summary) event() Event {
	e := s.first
	if s.count > 1 {
		e.Count, e.Bytes, e.Statuses, e.Routes = s.count, s.bytes, s.statuses, s.routes
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
