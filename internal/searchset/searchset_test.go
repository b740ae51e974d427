package searchset

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // dates are read in Sydney

	"muster/internal/auth"
	"muster/internal/client"
	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/search/index"
	"muster/internal/share"
	"muster/internal/store"
	"muster/internal/store/sqlite"
)

const base = "http://directory.example/fhir"

// testService is a service on its own data directory.
type testService struct {
	*Service
	testing.TB
	dir       string
	store     *sqlite.Store
	extractor *index.Extractor
	now       time.Time
}

func newTestService(t testing.TB) *testService {
	t.Helper()
	s := &testService{TB: t, dir: t.TempDir(), now: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)}
	registry, err := conformance.Load()
	s.must(err)
	s.extractor, err = index.NewExtractor(registry, base)
	s.must(err)
	s.store, s.Service = s.open(registry)
	return s
}

func (s *testService) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// open opens the directory like a server that starts.
func (s *testService) open(registry *conformance.Registry) (*sqlite.Store, *Service) {
	s.Helper()
	clock := func() time.Time { return s.now }
	db, err := sqlite.Open(s.Context(), s.dir, store.Options{Now: clock, SearchDeadline: time.Minute, Create: &store.Identity{
		BaseURL: base, Mode: "authoritative", DefinitionsHash: registry.DefinitionsHash(),
	}})
	s.must(err)
	s.Cleanup(func() { _ = db.Close() })
	sydney, err := time.LoadLocation("Australia/Sydney")
	s.must(err)
	return db, New(Config{
		Store: db, Compiler: search.New(registry, base, sydney), Registry: registry, BaseURL: base, Now: clock,
		Rules: policy.SearchRules{RequireSubstantive: true}, Suppressed: policy.SuppressedRules{Search: true, Local: true},
	})
}

// load loads resources, one per line.
func (s *testService) load(lines io.Reader) {
	s.Helper()
	summary, err := load.Run(s.Context(), load.Config{Directory: s.store, Extractor: s.extractor}, []load.Input{load.FromReader("test", lines)})
	s.must(err)
	if summary.RefusedTotal() > 0 {
		s.Fatalf("%+v", summary)
	}
}

// loadMany loads n resources: copies of the format with {n} replaced by the numbers from
// 0.
func (s *testService) loadMany(n int, format string) {
	s.Helper()
	var lines strings.Builder
	for i := range n {
		lines.WriteString(strings.ReplaceAll(format, "{n}", fmt.Sprintf("%05d", i)) + "\n")
	}
	s.load(strings.NewReader(lines.String()))
}

// parsedBundle is a parsed searchset Bundle.
type parsedBundle struct {
	Total *int64
	Link  []struct{ Relation, URL string }
	Entry []struct {
		Resource struct{ ResourceType, ID, Name string }
		Search   struct{ Mode string }
	}
}

func (s *testService) read(a Answer, err error) (b parsedBundle) {
	s.Helper()
	s.must(err)
	s.must(json.Unmarshal(a.Body, &b))
	return b
}

func (s *testService) search(t fhir.Type, rawQuery string) parsedBundle {
	s.Helper()
	return s.read(s.Search(s.Context(), t, rawQuery))
}

func (s *testService) follow(link string) parsedBundle {
	s.Helper()
	return s.read(s.Page(s.Context(), 0, queryOf(link)))
}

func queryOf(link string) string {
	_, rawQuery, _ := strings.Cut(link, "?")
	return rawQuery
}

// link returns the URL of a link, or an empty string if the Bundle does not have it.
func (b parsedBundle) link(relation string) string {
	for _, l := range b.Link {
		if l.Relation == relation {
			return l.URL
		}
	}
	return ""
}

// ids returns the ids of the entries with a search mode.
func (b parsedBundle) ids(mode string) (ids []string) {
	for _, e := range b.Entry {
		if e.Search.Mode == mode {
			ids = append(ids, e.Resource.ID)
		}
	}
	return ids
}

const roomTemplate = `{"resourceType":"Location","id":"loc-{n}","status":"active","name":"Rooms {n}","address":{"city":"Balmain"},"managingOrganization":{"reference":"Organization/org"}}`

// TestTokenBelongsToDirectoryAndClient checks that the link to a page works after a
// restart and on another node, but not for another client or on another directory.
func TestTokenBelongsToDirectoryAndClient(t *testing.T) {
	t.Attr("requirements", "PG-06 PG-08")
	s := newTestService(t)
	s.loadMany(3, roomTemplate)
	next := s.search(fhir.Location, "address-city=Balmain&_count=1").link("next")
	_, other := s.open(s.Registry)
	if got := s.read(other.Page(t.Context(), 0, queryOf(next))).ids("match"); !slices.Equal(got, []string{"loc-00001"}) {
		t.Errorf("another node finds %v", got)
	}
	wantNotFound := func(what string, ctx context.Context, on *Service) {
		t.Helper()
		_, err := on.Page(ctx, 0, queryOf(next))
		if issues, _ := fhir.AsIssues(err); len(issues) != 1 || issues[0].Code != fhir.CodeNotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantNotFound("another client", auth.With(t.Context(), auth.Principal{ID: "other", Grants: auth.AllGrants()}), s.Service)
	wantNotFound("another directory", t.Context(), newTestService(t).Service)
	s.now = s.now.Add(s.PageLife - time.Minute)
	s.follow(next)
	s.now = s.now.Add(3 * time.Minute)
	wantNotFound("expired", t.Context(), s.Service)
}

// TestChangedTokenIsRefused checks that a changed or truncated token is refused.
func TestChangedTokenIsRefused(t *testing.T) {
	t.Attr("requirements", "PG-06")
	s := newTestService(t)
	s.loadMany(2, roomTemplate)
	token := strings.TrimPrefix(strings.Split(queryOf(s.search(fhir.Location, "address-city=Balmain&_count=1").link("next")), "&")[0], "_getpages=")
	for i := range token {
		for _, c := range "Aa0_" {
			changed := token[:i] + string(c) + token[i+1:]
			if changed == token {
				continue
			}
			if _, err := s.Page(t.Context(), 0, "_getpages="+changed); !errorIs(err, fhir.CodeNotFound) {
				t.Fatalf("changed at %d: %v", i, err)
			}
		}
		if _, err := s.Page(t.Context(), 0, "_getpages="+token[:i]); !errorIs(err, fhir.CodeNotFound) {
			t.Fatalf("truncated at %d: %v", i, err)
		}
	}
}

// TestPagesOfSuppressed checks that links to pages with suppressed resources stop working
// when the client loses the right to request them, and that other links keep working.
func TestPagesOfSuppressed(t *testing.T) {
	t.Attr("requirements", "PG-08 VI-07 SU-01")
	s := newTestService(t)
	s.loadMany(3, roomTemplate)
	s.loadMany(3, strings.Replace(roomTemplate, `"loc-{n}",`, `"hidden-{n}","extension":[{"url":"`+index.SuppressedURL+`","extension":[`+
		`{"url":"suppressedBy","valueCodeableConcept":{"coding":[{"system":"`+policy.ResponsibleParty+`","code":"`+policy.OrganisationInitiated+`"}]}}]}],`, 1))
	hidden := s.search(fhir.Location, "address-city=Balmain&suppressed=true&_count=1").link("next")
	mixed := s.search(fhir.Location, "address-city=Balmain&suppressed=true,false&_count=1").link("next")
	plain := s.search(fhir.Location, "address-city=Balmain&_count=1").link("next")
	for _, rules := range []policy.SuppressedRules{{Local: true}, {Search: true}, {}} {
		_, restarted := s.open(s.Registry)
		restarted.Suppressed = rules
		for _, link := range []string{hidden, mixed} {
			if _, err := restarted.Page(t.Context(), 0, queryOf(link)); !errorIs(err, fhir.CodeForbidden) {
				t.Errorf("%+v: a page of suppressed resources: %v", rules, err)
			}
		}
		if got := s.read(restarted.Page(t.Context(), 0, queryOf(plain))).ids("match"); !slices.Equal(got, []string{"loc-00001"}) {
			t.Errorf("%+v: a page of others finds %v", rules, got)
		}
	}
	s.follow(hidden)
}

func errorIs(err error, code fhir.Code) bool {
	issues, _ := fhir.AsIssues(err)
	return len(issues) == 1 && issues[0].Code == code
}

// TestPagesWhileTheDirectoryChanges reads pages while a writer adds, removes, hides and
// changes resources that the search finds. Unchanged resources must be on the pages
// exactly once and in order. Changed resources may be missing, but must not repeat.
func TestPagesWhileTheDirectoryChanges(t *testing.T) {
	t.Attr("requirements", "PG-08 PG-09 TR-06")
	s := newTestService(t)
	s.load(strings.NewReader(`{"resourceType":"Organization","id":"org","active":true,"name":"Health"}`))
	s.loadMany(120, roomTemplate)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ctx.Err() == nil; n++ {
			id := fmt.Sprintf("%05d", (n*7)%120/2*2) // even numbers only
			changed := strings.ReplaceAll(roomTemplate, "{n}", id)
			switch n % 4 {
			case 0:
				changed = strings.Replace(changed, "Balmain", "Perth", 1)
			case 1:
				changed = strings.Replace(changed, `"active"`, `"inactive"`, 1)
			case 2:
				changed = strings.ReplaceAll(roomTemplate, "{n}", fmt.Sprintf("new-%d", n))
			case 3:
				_, _ = s.store.Apply(ctx, []store.Change{{Type: fhir.Location, ID: "loc-" + id, Remove: true}})
			}
			_, _ = load.Run(ctx, load.Config{Directory: s.store, Extractor: s.extractor}, []load.Input{load.FromReader("test", strings.NewReader(changed))})
		}
	}()
	for range 15 {
		seen := map[string]int{}
		page := s.search(fhir.Location, "address-city=Balmain&_sort=_id&_count=10&_include=Location:organization")
		var odd []string
		for {
			for _, id := range page.ids("match") {
				if seen[id]++; seen[id] > 1 {
					t.Fatalf("%s is repeated", id)
				}
				if len(id) == len("loc-00000") && (id[len(id)-1]-'0')%2 == 1 {
					odd = append(odd, id)
				}
			}
			if got := page.ids("include"); len(page.ids("match")) > 0 && !slices.Equal(got, []string{"org"}) {
				t.Fatalf("included %v", got)
			}
			if page.link("next") == "" {
				break
			}
			page = s.follow(page.link("next"))
		}
		if len(odd) != 60 || !slices.IsSorted(odd) {
			t.Fatalf("%d of 60 unchanged resources: %v", len(odd), odd)
		}
	}
	stop()
	<-ended
}

// TestIncludesEnd checks the limits of includes (TR-08): resources, steps and cycles.
func TestIncludesEnd(t *testing.T) {
	t.Attr("requirements", "TR-08 TR-03")
	s := newTestService(t)
	var lines bytes.Buffer
	for n := range 14 { // a chain of organisations, followed by a cycle of two
		fmt.Fprintf(&lines, `{"resourceType":"Organization","id":"org-%02d","active":true,"name":"Health","partOf":{"reference":"Organization/org-%02d"}}`+"\n", n, n+1)
	}
	fmt.Fprintln(&lines, `{"resourceType":"Organization","id":"round-1","active":true,"name":"Health","partOf":{"reference":"Organization/round-2"}}`)
	fmt.Fprintln(&lines, `{"resourceType":"Organization","id":"round-2","active":true,"name":"Health","partOf":{"reference":"Organization/round-1"}}`)
	fmt.Fprintln(&lines, `{"resourceType":"Organization","id":"org","active":true,"name":"Health"}`)
	s.load(&lines)
	s.loadMany(MaxIncluded+1, roomTemplate)
	for _, c := range []struct {
		query string
		want  int
		warns bool
	}{
		{"_id=org-00&_include=Organization:partof", 1, false},
		{"_id=org-00&_include:iterate=Organization:partof", MaxSteps, true},
		{"_id=org-04&_include:iterate=Organization:partof", 13 - 4, false},
		{"_id=org-13&_revinclude:iterate=Organization:partof", MaxSteps, true},
		{"_id=round-1&_include:iterate=Organization:partof&_revinclude:iterate=Organization:partof", 1, false},
		{"_id=org&_revinclude=Location:organization", MaxIncluded, true},
		{"_id=org&_revinclude=Location:organization&_revinclude=Organization:partof", MaxIncluded, true},
	} {
		b := s.search(fhir.Organization, c.query)
		if got, warns := len(b.ids("include")), len(b.ids("outcome")) > 0; got != c.want || warns != c.warns {
			t.Errorf("%s: %d included, warning %v; want %d, %v", c.query, got, warns, c.want, c.warns)
		}
	}
}

// TestIncludesEndByBytes checks that a page of large resources reaches the size limit
// before the number limit.
func TestIncludesEndByBytes(t *testing.T) {
	t.Attr("requirements", "TR-08")
	s := newTestService(t)
	s.load(strings.NewReader(`{"resourceType":"Organization","id":"org","active":true,"name":"Health"}`))
	s.loadMany(40, strings.Replace(roomTemplate, "Rooms", strings.Repeat("Rooms ", 100_000), 1))
	b := s.search(fhir.Organization, "_id=org&_revinclude=Location:organization")
	if n := len(b.ids("include")); n != maxBytes/600_500 || len(b.ids("outcome")) != 1 {
		t.Errorf("%d included, %d warnings", n, len(b.ids("outcome")))
	}
}

// TestMemoryOfAnswers checks that the memory of each answer is reserved before it is used, and that
// an answer without memory is not read.
func TestMemoryOfAnswers(t *testing.T) {
	s := newTestService(t)
	s.loadMany(60, `{"resourceType":"Organization","id":"o{n}","active":true,"name":"Wide {n}","alias":["`+strings.Repeat("a", 20_000)+`"]}`)
	s.loadMany(60, `{"resourceType":"Location","id":"l{n}","status":"active","mode":"instance","name":"Wide {n}","managingOrganization":{"reference":"Organization/o{n}"}}`)
	next := s.search(fhir.Organization, "name=wide&_count=20").link("next")
	for _, c := range []struct {
		name   string
		answer func(context.Context) ([]byte, error)
	}{
		{"search", func(ctx context.Context) ([]byte, error) {
			a, err := s.Search(ctx, fhir.Organization, "name=wide&_count=50")
			return a.Body, err
		}},
		{"indented", func(ctx context.Context) ([]byte, error) {
			a, err := s.Search(ctx, fhir.Organization, "name=wide&_count=50&_pretty=true")
			return a.Body, err
		}},
		{"included", func(ctx context.Context) ([]byte, error) {
			a, err := s.Search(ctx, fhir.Location, "name=wide&_count=50&_include=Location:organization")
			return a.Body, err
		}},
		{"page", func(ctx context.Context) ([]byte, error) {
			a, err := s.Page(ctx, 0, queryOf(next))
			return a.Body, err
		}},
		{"read", func(ctx context.Context) ([]byte, error) {
			r, err := s.Read(ctx, fhir.Organization, "o00001", "")
			return r.Body, err
		}},
	} {
		for _, total := range []int64{1 << 30, 10_000} {
			pool := share.New(total, 0)
			ctx, account := share.Open(t.Context(), pool, client.Client{Name: "a"}, time.Millisecond, func() {})
			taken := pool.Used()
			if total < 1<<20 { // all but a little is taken
				other, err := pool.Take(client.Client{Name: "a"}, total-1000, func() {})
				s.must(err)
				defer other.Return()
				if _, err := c.answer(ctx); !errors.Is(err, share.ErrFull) {
					t.Errorf("%s without memory: %v", c.name, err)
				}
			} else if body, err := c.answer(ctx); err != nil || len(body) < 20_000 || pool.Used()-taken < int64(cap(body)-entryBytes) {
				t.Errorf("%s: %d bytes in a buffer of %d, of which %d are reserved, %v", c.name, len(body), cap(body), pool.Used()-taken, err)
			}
			account.Close()
		}
	}
}
