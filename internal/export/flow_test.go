package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"muster/internal/auth"
	"muster/internal/blob"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/postgres"
	"muster/internal/store/sqlite"
	"muster/internal/testkit"
	"muster/internal/testkit/pgtest"
)

// fixture is a service with a data directory.
type fixture struct {
	*testing.T
	*Service
	clock *testkit.Clock
	files *blob.Folder
	dir   string // of files
}

func newFixture(t *testing.T, change func(*Config)) *fixture {
	t.Helper()
	return newFixtureOn(t, false, change)
}

// onBothDatabases runs a test on SQLite and on PostgreSQL.
func onBothDatabases(t *testing.T, test func(t *testing.T, onPostgres bool)) {
	t.Run("sqlite", func(t *testing.T) { test(t, false) })
	t.Run("postgres", func(t *testing.T) { test(t, true) })
}

// newFixtureOn is newFixture on one of the databases.
func newFixtureOn(t *testing.T, onPostgres bool, change func(*Config)) *fixture {
	t.Helper()
	dir := t.TempDir()
	b := &fixture{T: t, clock: testkit.NewClock(time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC))}
	options := store.Options{Now: b.clock.Now,
		Create: &store.Identity{BaseURL: testBase, Mode: "authoritative", DefinitionsHash: "test"}}
	var directory store.Store
	var err error
	if onPostgres {
		directory, err = postgres.Open(t.Context(), pgtest.Database(t), options)
	} else {
		directory, err = sqlite.Open(t.Context(), dir, options)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = directory.Close() })
	b.dir = filepath.Join(dir, sqlite.FilesFolder)
	if b.files, err = blob.NewFolder(b.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.files.Close() })
	config := Config{Store: directory, Blobs: b.files, Compiler: newCompiler(t), BaseURL: testBase,
		Now: b.clock.Now, Logger: slog.New(slog.DiscardHandler), PollLimit: PollOff, PartBytes: 1000,
		Rules: DefaultRules(), Suppressed: policy.SuppressedRules{Search: true, Local: true}}
	config.engine.Heartbeat, config.engine.Tick = 5*time.Millisecond, 5*time.Millisecond
	config.engine.Backoff = time.Nanosecond
	if change != nil {
		change(&config)
	}
	b.Service = New(config)
	return b
}

// fill writes n practitioners with ids from p0 and n locations.
func (b *fixture) fill(n int) {
	b.Helper()
	var changes []store.Change
	for i := range n {
		changes = append(changes, resource(fhir.Practitioner, fmt.Sprint("p", i), "first"), resource(fhir.Location, fmt.Sprint("l", i), "first"))
	}
	b.apply(changes...)
}

func (b *fixture) apply(changes ...store.Change) {
	b.Helper()
	if _, err := b.Store.Apply(b.Context(), changes); err != nil {
		b.Fatal(err)
	}
}

func resource(t fhir.Type, id, text string) store.Change {
	return store.Change{Type: t, ID: id, LastUpdated: new(fhir.Instant(1_772_000_000_000)), // independent of the batches of the store
		Document: store.Document{
			Head: fmt.Appendf(nil, `{"resourceType":"%s","id":"%s","meta":{`, t, id),
			Tail: fmt.Appendf(nil, `},"language":"%s"}`, text)},
		SourceHash: [16]byte([]byte(fmt.Sprintf("%-16s", text))[:16]),
		Entries:    []index.Entry{{Kind: index.Token, Param: 1, Code: id}},
	}
}

func (b *fixture) request(since *fhir.Instant, types ...string) Request {
	b.Helper()
	entries := []string{"_type=" + strings.Join(types, ",")}
	for _, t := range types {
		entries = append(entries, "_typeFilter="+t+"?_lastUpdated=ge1900-01-01")
	}
	if since != nil {
		entries = append(entries, "_since="+since.String())
	}
	r, err := b.ParseRequest(b.Context(), []byte(kickOff(entries...)))
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func (b *fixture) kickOff(types ...string) string {
	b.Helper()
	id, err := b.KickOff(b.Context(), b.request(nil, types...))
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// start runs a service until the returned function is called, which waits for its end.
func start(t *testing.T, s *Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// wait polls until the job has ended.
func (b *fixture) wait(s *Service, id string) Status {
	b.Helper()
	deadline := time.After(30 * time.Second)
	for {
		status, err := s.Poll(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		if !status.State.Live() {
			return status
		}
		select {
		case <-deadline:
			b.Fatalf("job %s is still %s: %s", id, status.State, status.Progress)
		case <-time.After(time.Millisecond):
		}
	}
}

// download returns the NDJSON of the files of a complete job, ordered by number.
func (b *fixture) download(id string) (all []string) {
	b.Helper()
	parts, err := b.jobs.Parts(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range parts {
		file, err := b.OpenFile(b.Context(), p.File)
		if err != nil {
			b.Fatal(err)
		}
		r, err := file.Identity()
		if err != nil {
			b.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close(), file.Close()); err != nil {
			b.Fatal(err)
		}
		if int64(len(text)) != p.Bytes || int64(bytes.Count(text, []byte("\n"))) != p.Count {
			b.Errorf("part %d has %d bytes in %d lines; planned %d in %d", p.Number, len(text), bytes.Count(text, []byte("\n")), p.Bytes, p.Count)
		}
		all = append(all, string(text))
	}
	return all
}

func (b *fixture) blobs() (names []string) {
	b.Helper()
	err := b.files.List(b.Context(), func(name string, _ time.Time) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return names
}

func TestExport(t *testing.T) {
	t.Attr("req", "PO-06 MA-04 RE-07")
	b := newFixture(t, nil)
	b.fill(50)
	start(t, b.Service)
	id := b.kickOff("Practitioner", "Location")
	status := b.wait(b.Service, id)
	if status.State != store.Complete || status.Progress != "Export complete - 100 resources" || status.RetryAfter < 1 {
		t.Fatalf("status %+v", status)
	}
	parts, err := b.jobs.Parts(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) < 4 || parts[0].Type != fhir.Practitioner || parts[len(parts)-1].Type != fhir.Location {
		t.Errorf("%d parts, in the order of the request: %+v", len(parts), parts)
	}
	lines := strings.Join(b.download(id), "")
	if n := strings.Count(lines, `"language":"first"`); n != 100 {
		t.Errorf("%d of 100 resources in the files", n)
	}
	for _, p := range parts {
		if p.Bytes > b.PartBytes || p.Stored.Count != p.Count {
			t.Errorf("part %d: %d bytes, limit %d; %d of %d lines", p.Number, p.Bytes, b.PartBytes, p.Stored.Count, p.Count)
		}
	}
	again, err := b.Poll(t.Context(), id)
	if err != nil || !bytes.Equal(again.Manifest, status.Manifest) {
		t.Errorf("the second manifest is %s, the first %s (%v)", again.Manifest, status.Manifest, err)
	}
}

// TestChangesAreInOneExportOrTheNext checks that each change is in one export or in the
// next delta: a version committed at T or before is in the export, a later one is not,
// and no version is in both (MA-01, VI-12).
func TestChangesAreInOneExportOrTheNext(t *testing.T) {
	t.Attr("req", "MA-01 VI-12 RE-13")
	b := newFixture(t, nil)
	b.fill(20)
	// A writer commits after the snapshot and before the parts are written.
	disarm := failpoint.Arm("export.selected", func(context.Context) error {
		b.apply(resource(fhir.Practitioner, "p3", "second"), resource(fhir.Practitioner, "new", "second"),
			store.Change{Type: fhir.Practitioner, ID: "p4", Remove: true})
		return nil
	})
	defer disarm()
	start(t, b.Service)
	full := b.kickOff("Practitioner")
	b.wait(b.Service, full)
	disarm()
	text := strings.Join(b.download(full), "")
	if strings.Contains(text, "second") || !strings.Contains(text, `"p3"`) || !strings.Contains(text, `"p4"`) || strings.Count(text, "\n") != 20 {
		t.Errorf("the full export is not the directory at T:\n%s", text)
	}
	job, err := b.jobs.Job(t.Context(), full)
	if err != nil {
		t.Fatal(err)
	}
	delta, err := b.KickOff(t.Context(), b.request(&job.Time, "Practitioner"))
	if err != nil {
		t.Fatal(err)
	}
	b.wait(b.Service, delta)
	text = strings.Join(b.download(delta), "")
	if strings.Count(text, "\n") != 3 || strings.Count(text, "second") != 2 || !strings.Contains(text, `"Practitioner/p4"`) {
		t.Errorf("the delta is not what changed after T:\n%s", text)
	}
}

// TestDeltaWithoutSuppressed checks that the delta of a client that may not see
// suppressed resources omits them, says so in the manifest, and keeps that content even
// if a later server allows more; the same delta of another client holds them (VI-10,
// SU-01).
func TestDeltaWithoutSuppressed(t *testing.T) {
	t.Attr("req", "SU-01 VI-10 MA-07")
	onBothDatabases(t, func(t *testing.T, onPostgres bool) {
		exposed := policy.SuppressedRules{Search: true}
		b := newFixtureOn(t, onPostgres, func(c *Config) { c.Suppressed = exposed })
		b.apply(inState("seen", 0), inState("closed", index.Inactive), inState("hidden", index.Suppressed), inState("both", index.Inactive|index.Suppressed))
		id, err := b.KickOff(t.Context(), b.request(new(fhir.Instant), "Practitioner"))
		if err != nil {
			t.Fatal(err)
		}
		local := b.Config
		local.Suppressed = policy.SuppressedRules{Search: true, Local: true}
		s := New(local) // a server that only this machine can reach does the work
		start(t, s)
		b.wait(s, id)
		if text := strings.Join(b.download(id), ""); strings.Count(text, "\n") != 2 || !strings.Contains(text, `"seen"`) || !strings.Contains(text, `"closed"`) {
			t.Errorf("the delta holds\n%s", text)
		}
		for _, server := range []*Service{b.Service, s, b.Service} {
			status, err := server.Poll(t.Context(), id)
			if err != nil || !strings.Contains(string(status.Manifest), `"message":"Suppressed resources are left out, because this client may not see them. A copy`) {
				t.Errorf("the manifest does not say so: %s, %v", status.Manifest, err)
			}
		}
		known := auth.With(t.Context(), auth.Principal{ID: "known", Grants: auth.AllGrants()})
		request, err := b.ParseRequest(known, []byte(kickOff("_type=Practitioner", "_typeFilter=Practitioner?_lastUpdated=ge1900-01-01", "_since=1970-01-01T00:00:00Z")))
		if err != nil || request.WithoutSuppressed {
			t.Errorf("a client that is authenticated: %+v, %v", request, err)
		}
	})
}

// TestCurrentRulesApplyToJobs checks that a job for suppressed resources fails if its
// client may no longer see them: as a delta, and by its filter.
func TestCurrentRulesApplyToJobs(t *testing.T) {
	t.Attr("req", "SU-01 VI-07")
	for name, entries := range map[string][]string{
		"delta":  {"_type=Practitioner", "_typeFilter=Practitioner?_lastUpdated=ge1900-01-01", "_since=1970-01-01T00:00:00Z"},
		"filter": {"_type=Practitioner", "_typeFilter=Practitioner?_lastUpdated=ge1900-01-01&suppressed=true"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newFixture(t, nil)
			b.apply(inState("hidden", index.Suppressed))
			request, err := b.ParseRequest(t.Context(), []byte(kickOff(entries...)))
			if err != nil {
				t.Fatal(err)
			}
			id, err := b.KickOff(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			exposed := b.Config
			exposed.Suppressed.Local = false
			s := New(exposed)
			start(t, s)
			if status := b.wait(s, id); status.State != store.Failed {
				t.Errorf("the job ended as %v", status.State)
			}
		})
	}
}

// inState returns a practitioner with a visibility.
func inState(id string, state index.Visibility) store.Change {
	c := resource(fhir.Practitioner, id, "first")
	c.Visibility = state
	return c
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
