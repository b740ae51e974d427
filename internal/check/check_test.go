package check_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"muster/internal/auth"
	"muster/internal/blob"
	"muster/internal/check"
	"muster/internal/conformance"
	"muster/internal/export"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/load"
	"muster/internal/policy"
	"muster/internal/search"
	"muster/internal/search/index"
	"muster/internal/store"
	"muster/internal/store/postgres"
	"muster/internal/store/sqlite"
	"muster/internal/testkit/modtime"
	"muster/internal/testkit/pgtest"
)

const baseURL = "http://localhost:8080/fhir"

// people returns n practitioners, an organization and a role as NDJSON.
func people(n int, family string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"resourceType":"Practitioner","id":"p%d","active":true,"name":[{"family":"%s","given":["N%d"]}]}`+"\n", i, family, i)
	}
	b.WriteString(`{"resourceType":"Organization","id":"o1","active":true,"name":"Clinic","identifier":[{"system":"http://x.example/n","value":"1"}]}` + "\n")
	b.WriteString(`{"resourceType":"PractitionerRole","id":"r1","practitioner":{"reference":"Practitioner/p1"},"organization":{"reference":"Organization/o1"},` +
		`"period":{"start":"2020-01-01"}}` + "\n")
	return b.String()
}

// directory is a store that has an owner id for its files.
type directory interface {
	store.Store
	FilesOwner(ctx context.Context) (string, error)
	Close() error
}

// open opens the directory in the folder, or in the database if url is not empty.
func open(t *testing.T, dir, url string, o store.Options) directory {
	t.Helper()
	if url != "" {
		d, err := postgres.Open(t.Context(), url, o)
		must(t, err)
		return d
	}
	d, err := sqlite.Open(t.Context(), dir, o)
	must(t, err)
	return d
}

// newDirectory creates a directory with everything that a check covers: resources, a
// removal, a complete job, and a delta that stopped while writing, with the old versions
// that it needs and the removal that it has still to list.
func newDirectory(t *testing.T, url string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	ctx := auth.With(t.Context(), auth.Principal{ID: "anna", Grants: auth.AllGrants()})
	registry, err := conformance.Load()
	must(t, err)
	s := open(t, dir, url, store.Options{Create: &store.Identity{BaseURL: baseURL, Mode: "authoritative", DefinitionsHash: registry.DefinitionsHash(), Rules: policy.RulesVersion()}})
	defer s.Close()
	extractor, err := index.NewExtractor(registry, baseURL)
	must(t, err)
	put := func(text string) {
		t.Helper()
		_, err := load.Run(ctx, load.Config{Directory: s, Extractor: extractor}, []load.Input{{Name: "people", Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		}}})
		must(t, err)
	}
	put(people(60, "Before") + `{"resourceType":"Practitioner","id":"gone","active":true}` + "\n")
	_, err = s.Apply(ctx, []store.Change{{Type: fhir.Practitioner, ID: "gone", Remove: true}})
	must(t, err)

	files, err := blob.NewFolder(filepath.Join(dir, sqlite.FilesFolder))
	must(t, err)
	defer files.Close()
	compiler := search.New(registry, baseURL, time.UTC)
	exports := export.New(export.Config{Store: s, Blobs: files, Compiler: compiler, BaseURL: baseURL, PartBytes: 2000, Workers: 1,
		Logger: slog.New(slog.DiscardHandler)})
	body := `{"resourceType":"Parameters","parameter":[{"name":"_outputFormat","valueString":"application/fhir+ndjson"},` +
		`{"name":"_type","valueString":"Practitioner"},{"name":"_typeFilter","valueString":"Practitioner?_lastUpdated=ge1900-01-01T00:00:00Z"}]}`
	delta := strings.TrimSuffix(body, "]}") + `,{"name":"_since","valueInstant":"2000-01-01T00:00:00Z"}]}`
	request, err := export.ParseRequest([]byte(body), compiler, export.Rules{}, policy.FullAccess())
	must(t, err)

	run := func(point string, want store.State) {
		t.Helper()
		id, err := exports.KickOff(ctx, request)
		must(t, err)
		running, stop := context.WithCancel(ctx)
		reached := make(chan struct{}, 100)
		disarm := failpoint.Arm(point, func(context.Context) error { reached <- struct{}{}; return nil })
		var passed atomic.Int32    // several goroutines write parts
		if want == store.Writing { // hold the third part until the end
			disarm = failpoint.Arm(point, func(working context.Context) error {
				if passed.Add(1) < 3 {
					return nil
				}
				reached <- struct{}{}
				<-working.Done()
				return working.Err()
			})
		}
		ended := make(chan error, 1)
		go func() { ended <- exports.Run(running) }()
		select {
		case <-reached:
		case <-time.After(30 * time.Second):
			t.Fatalf("failpoint %s was never reached", point)
		}
		stop()
		<-ended
		disarm()
		job, err := s.Job(ctx, id)
		must(t, err)
		if job.State != want {
			t.Fatalf("job is %s, want %s", job.State, want)
		}
	}
	run("export.finished", store.Complete)
	exports = export.New(exports.Config) // an engine runs once
	request, err = export.ParseRequest([]byte(delta), compiler, export.Rules{}, policy.FullAccess())
	must(t, err)
	run("export.part.written", store.Writing)
	put(people(60, "After"))
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// runCheck checks a directory and returns the findings as lines.
func runCheck(t *testing.T, dir, url string, deep, served bool) (lines []string, s check.Summary) {
	t.Helper()
	registry, err := conformance.Load()
	must(t, err)
	files := filepath.Join(dir, sqlite.FilesFolder)
	folder := check.Folder{Path: "FILES", MarkedOwner: blob.ExistingFolder(files).Owner, Adopt: "muster adopt"}
	var i store.Inspector
	var info store.Identity
	expect := store.Identity{DefinitionsHash: registry.DefinitionsHash()}
	if url != "" {
		d, err := postgres.Inspect(t.Context(), url, expect)
		must(t, err)
		defer d.Close()
		i, info, folder.Owner = d, d.Info(), d.FilesOwner
	} else {
		d, err := sqlite.Inspect(t.Context(), dir, expect)
		must(t, err)
		defer d.Close()
		i, info, folder.Owner = d, d.Info(), d.FilesOwner
	}
	extractor, err := index.NewExtractor(registry, baseURL)
	must(t, err)
	s, err = check.Run(t.Context(), check.Config{
		Period: 9 * time.Minute, // longer than these tests take
		Store:  i, Blobs: modtime.Store{Store: blob.ExistingFolder(files), Dir: files}, Folder: folder, Registry: registry, Extractor: extractor, Rules: info.Rules, Deep: deep, Served: served,
		Report: func(f check.Finding) {
			if f.Note && strings.Contains(f.Problem, "data_checksums is off") {
				return // it depends on the server of the tests; see TestPageChecksums of package postgres
			}
			note := ""
			if f.Note {
				note = "note "
			}
			if f.Remedy == "" {
				t.Errorf("no remedy: %+v", f)
			}
			lines = append(lines, note+f.Kind+": "+f.Place+": "+f.Problem)
		},
	})
	must(t, err)
	return lines, s
}

// damage is one case of testdata/damage.txt.
type damage struct {
	name, at string
	options  []string
	steps    [][2]string // command and argument
	want     []string
}

// readDamage reads the cases; testdata/README.md describes the format.
func readDamage(t *testing.T) (cases []damage) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "damage.txt"))
	must(t, err)
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		at := fmt.Sprintf("testdata/damage.txt:%d", n)
		word, rest, _ := strings.Cut(line, " ")
		if name, ok := strings.CutPrefix(line, "== "); ok {
			name, options, _ := strings.Cut(name, " --")
			cases = append(cases, damage{name: name, at: at, options: strings.Fields(options)})
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		c := &cases[len(cases)-1]
		switch word {
		case ">":
			c.want = append(c.want, rest)
		case "directory", "jobs", "file", "unindex":
			c.steps = append(c.steps, [2]string{word, rest})
		default:
			t.Fatalf("%s: %q is not a command", at, word)
		}
	}
	must(t, lines.Err())
	return cases
}

// apply damages the directory as the case says.
func (c damage) apply(t *testing.T, dir, url string) {
	t.Helper()
	for _, step := range c.steps {
		switch step[0] {
		case "directory", "jobs":
			if url != "" {
				must(t, run(t, url, step[1]))
				continue
			}
			execute(t, filepath.Join(dir, step[0]+".db"), step[1])
		case "unindex":
			table, where, _ := strings.Cut(step[1], " ")
			unindex(t, filepath.Join(dir, "directory.db"), table, where)
		case "file":
			damageFile(t, filepath.Join(dir, "files"), step[1])
		}
	}
}

// run runs a statement on PostgreSQL.
func run(t *testing.T, url, statement string) error {
	t.Helper()
	db, err := sql.Open("pgx", url)
	must(t, err)
	defer db.Close()
	result, err := db.ExecContext(t.Context(), statement)
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	if n, _ := result.RowsAffected(); n == 0 && !strings.HasPrefix(statement, "CREATE") && !strings.HasPrefix(statement, "DROP") {
		return fmt.Errorf("%s: no row was changed", statement)
	}
	return nil
}

func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	must(t, err)
	db.SetMaxOpenConns(1)
	for _, s := range statements {
		result, err := db.Exec(s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if n, _ := result.RowsAffected(); n == 0 && !strings.HasPrefix(s, "PRAGMA") {
			t.Fatalf("%s: no row was changed", s)
		}
	}
	must(t, db.Close())
}

// unindex deletes rows from a table but not from its value index, as a torn page could.
// It hides the index from SQLite meanwhile.
func unindex(t *testing.T, path, table, where string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	must(t, err)
	db.SetMaxOpenConns(1)
	var root int
	var text string
	must(t, db.QueryRow(`SELECT rootpage, sql FROM sqlite_schema WHERE name = ?`, table+"_value").Scan(&root, &text))
	must(t, db.Close())
	execute(t, path, `PRAGMA writable_schema = 1`, `DELETE FROM sqlite_schema WHERE name = '`+table+`_value'`)
	execute(t, path, `DELETE FROM `+table+` WHERE `+where)
	execute(t, path, `PRAGMA writable_schema = 1`,
		fmt.Sprintf(`INSERT INTO sqlite_schema VALUES ('index', '%s_value', '%s', %d, '%s')`, table, table, root, text))
}

// damageFile runs a file command of a case.
func damageFile(t *testing.T, files, command string) {
	t.Helper()
	words := strings.Fields(command)
	if words[0] == "make" {
		name := filepath.Join(files, words[1])
		must(t, os.MkdirAll(filepath.Dir(name), 0o700))
		must(t, os.WriteFile(name, []byte("x"), 0o600))
		age, err := time.ParseDuration(words[2])
		must(t, err)
		old := time.Now().Add(-age)
		must(t, os.Chtimes(name, old, old))
		return
	}
	names, err := filepath.Glob(filepath.Join(files, words[1]))
	must(t, err)
	if len(names) == 0 {
		t.Fatalf("no file %s", words[1])
	}
	name := names[0]
	if words[0] == "remove" {
		must(t, os.RemoveAll(filepath.Clean(name)))
		return
	}
	bytes, err := os.ReadFile(name)
	must(t, err)
	switch words[0] {
	case "cut":
		bytes = bytes[:len(bytes)-1]
	case "flip":
		bytes[len(bytes)/2] ^= 1
	case "flip-trailer":
		bytes[len(bytes)-6] ^= 1
	default:
		t.Fatalf("unknown command %s", words[0])
	}
	must(t, os.WriteFile(name, bytes, 0o600))
}

// TestWhole checks an intact directory and expects no finding.
func TestWhole(t *testing.T) {
	for name, url := range map[string]func() string{"sqlite": func() string { return "" }, "postgres": func() string { return pgtest.Database(t) }} {
		t.Run(name, func(t *testing.T) {
			url := url()
			dir := newDirectory(t, url)
			lines, s := runCheck(t, dir, url, url == "", true)
			if len(lines) > 0 {
				t.Errorf("findings in an intact directory:\n%s", strings.Join(lines, "\n"))
			}
			if s.Resources != 62 || s.OldVersions == 0 || s.Tombstones != 1 || s.Jobs != 2 || s.Parts < 5 || s.Entries < 200 || s.Files < s.Parts {
				t.Errorf("not everything was checked: %+v", s)
			}
		})
	}
}

// TestDamage damages a directory in each way and expects exactly the findings of the case.
func TestDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: damages a directory in each way")
	}
	intact := newDirectory(t, "")
	for _, c := range readDamage(t) {
		if slices.Contains(c.options, "postgres") {
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.run(t, intact, "") })
	}
}

// TestDamageOnPostgres runs the cases on copies of a database.
func TestDamageOnPostgres(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: damages a directory in each way")
	}
	server := parse(t, pgtest.Database(t))
	server.Path, server.RawQuery = "/postgres", ""
	original := "muster_damage_" + strings.ToLower(rand.Text())
	database := func(name, template string) string {
		t.Helper()
		must(t, run(t, server.String(), "CREATE DATABASE "+name+" TEMPLATE "+template))
		made := *server
		made.Path = "/" + name
		return made.String()
	}
	drop := func(name string) { must(t, run(t, server.String(), "DROP DATABASE "+name+" WITH (FORCE)")) }
	base := database(original, "template0")
	defer drop(original)
	must(t, run(t, base, "CREATE EXTENSION amcheck"))
	intact := newDirectory(t, base)
	for _, c := range readDamage(t) {
		if slices.Contains(c.options, "sqlite") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			copied := database(original+"_copy", original)
			defer drop(original + "_copy")
			c.run(t, intact, copied)
		})
	}
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	must(t, err)
	return u
}

// run runs one case on a copy of an intact directory.
func (c damage) run(t *testing.T, intact, url string) {
	dir := filepath.Join(t.TempDir(), "data")
	must(t, os.CopyFS(dir, os.DirFS(intact)))
	c.apply(t, dir, url)
	lines, _ := runCheck(t, dir, url, slices.Contains(c.options, "deep"), slices.Contains(c.options, "served"))
	for _, want := range c.want {
		pattern := regexp.MustCompile("^(" + want + ")")
		n := slices.IndexFunc(lines, pattern.MatchString)
		if n < 0 {
			t.Errorf("%s: no finding matches %s", c.at, want)
			continue
		}
		lines = slices.DeleteFunc(lines, pattern.MatchString)
	}
	if len(lines) > 0 {
		t.Errorf("%s: unexpected findings:\n%s", c.at, strings.Join(lines, "\n"))
	}
}

// TestReadsOnly checks that a check does not change any file of the directory.
func TestReadsOnly(t *testing.T) {
	dir := newDirectory(t, "")
	before := listing(t, dir)
	runCheck(t, dir, "", true, false)
	if after := listing(t, dir); after != before {
		t.Errorf("the check changed the directory:\n%s\nbefore:\n%s", after, before)
	}
}

// listing returns the files with size and time, except for the -shm and -wal files of
// SQLite.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "-shm") || strings.HasSuffix(path, "-wal") {
			return err
		}
		info, err := d.Info()
		fmt.Fprintln(&b, path, info.Size(), info.ModTime())
		return err
	}))
	return b.String()
}

// TestFolder checks directories whose folder belongs to another directory. The check
// reports the owner and does not report the files as leftovers. A folder of the directory
// itself, and one without a mark, lead to no such finding.
func TestFolder(t *testing.T) {
	for name, url := range map[string]func() string{"sqlite": func() string { return "" }, "postgres": func() string { return pgtest.Database(t) }} {
		t.Run(name, func(t *testing.T) {
			url := url()
			dir := newDirectory(t, url)
			files := filepath.Join(dir, sqlite.FilesFolder)
			damageFile(t, files, "make 0b9f1c3e-7d2a-4c55-9a61-3f0e8d2b7c14/1-1.ndjson.gz 100m")
			const orphan = "note orphan: files: 1 file without a job"
			const foreign = "folder: files: FILES holds the export files of another directory"
			for _, step := range []struct{ mark, want string }{
				{"", orphan}, {"another-directory", foreign}, {ownerOf(t, dir, url), orphan}, {"another-directory", foreign}, {"?", foreign},
			} {
				mark := filepath.Join(files, ".owner")
				if step.mark != "" {
					must(t, os.WriteFile(mark, []byte(step.mark), 0o600))
				}
				lines, _ := runCheck(t, dir, url, false, false)
				if len(lines) != 1 || !strings.HasPrefix(lines[0], step.want) {
					t.Errorf("with the mark %q: %q, want %s", step.mark, lines, step.want)
				}
			}
			must(t, os.Remove(filepath.Join(files, ".owner")))
			must(t, os.Mkdir(filepath.Join(files, ".owner"), 0o700))
			lines, _ := runCheck(t, dir, url, false, false)
			if len(lines) != 2 || !strings.HasPrefix(lines[0], "folder: files: the owner of the folder cannot be read") || !strings.Contains(lines[0], "move it away") {
				t.Errorf("with a folder in the place of the mark: %q", lines)
			}
		})
	}
}

// ownerOf returns the id of a directory as an owner of files.
func ownerOf(t *testing.T, dir, url string) string {
	t.Helper()
	d := open(t, dir, url, store.Options{})
	defer d.Close()
	owner, err := d.FilesOwner(t.Context())
	must(t, err)
	return owner
}
