package soak

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"muster/internal/damage"
	"muster/internal/store/sqlrows"
	"muster/internal/testkit"
)

// DamagePlan says how often [Damage] damages a directory.
type DamagePlan struct {
	Copies    int    // damaged copies of the databases
	Logs      int    // damaged copies of their logs
	Files     int    // damaged copies of export files
	Resources int    // of the directory
	Seed      uint64 // of the damage
	Progress  func(done int)
}

// DamageReport counts the outcomes. The keys of the maps say what was damaged, and what happened.
type DamageReport struct {
	Starts  map[string]int // servers that did not start
	Exports map[string]int // by outcome: failed, right, or what is wrong
	// Different lists the exports that were complete and incomplete or too long, which pages were
	// damaged, and which check finds them. Each is an effect that docs/decisions/0022-damage.md
	// states for directories without checksums of pages: one of an index is damaged.
	Different []string
	// Wrong lists the exports that were complete and wrong although the damage should have been
	// noticed: a line that was never stored, a line twice, or another result although the pages
	// have checksums, or none of an index was damaged.
	Wrong []string
	Files map[string]int // by outcome: broken off, right, or wrong
}

// damageFilters are the exports of each copy: everything, and five filters.
var damageFilters = [][]string{
	{"Organization?_lastUpdated=ge1900-01-01T00:00:00Z", "Location?_lastUpdated=ge1900-01-01T00:00:00Z",
		"Practitioner?_lastUpdated=ge1900-01-01T00:00:00Z", "PractitionerRole?_lastUpdated=ge1900-01-01T00:00:00Z"},
	{"Practitioner?family=Family7"},
	{"Location?address-city=City3"},
	{"Organization?name:contains=rg 1"},
	{"PractitionerRole?practitioner=Practitioner/p7"},
	{"Practitioner?_has:PractitionerRole:practitioner:location.address-city=City3"},
}

// Damage loads a directory, damages copies of it in each of several ways, and exports each copy.
// Then it damages export files and downloads them. Complete exports are compared with those of the
// undamaged directory.
func Damage(ctx context.Context, program testkit.Program, dir string, plan DamagePlan) (DamageReport, error) {
	d := &damageRun{ctx: ctx, program: program, dir: dir, plan: plan, random: rand.New(rand.NewPCG(plan.Seed, 1)),
		report: DamageReport{Starts: map[string]int{}, Exports: map[string]int{}, Files: map[string]int{}}}
	err := d.prepare()
	for n := 0; n < plan.Copies && err == nil; n++ {
		err = d.copy(n)
		if plan.Progress != nil {
			plan.Progress(n + 1)
		}
	}
	if err == nil {
		err = d.files()
	}
	if err == nil {
		err = d.logs()
	}
	return d.report, err
}

type damageRun struct {
	ctx     context.Context
	program testkit.Program
	dir     string
	plan    DamagePlan
	random  *rand.Rand
	report  DamageReport

	address string     // of all servers: it is part of the stored base URL
	whole   string     // the data directory without damage
	want    [][]string // the sorted lines of each export
	stored  map[string]bool
	tables  []string        // by page of directory.db, from 1
	indexes map[string]bool // tables and indexes by which searches find resources
	sums    bool            // the pages have checksums
	wait    time.Duration   // until a server must be ready; 0 stands for testkit.Patience
}

func (d *damageRun) prepare() error {
	d.whole = filepath.Join(d.dir, "whole")
	if err := d.load("--data", d.whole); err != nil {
		return err
	}
	s, err := d.serve(d.whole)
	if err != nil {
		return err
	}
	if err := errors.Join(d.exportWhole(s), s.Terminate()); err != nil {
		return err
	}
	return d.readTables()
}

// load loads the resources with the options given, and chooses the address of all servers.
func (d *damageRun) load(options ...string) (err error) {
	if d.address, err = testkit.FreeAddress(); err != nil {
		return err
	}
	return d.loadChanged(1, options...)
}

// loadChanged loads the resources; every nth Organization and Practitioner have other names if n is
// more than 1.
func (d *damageRun) loadChanged(every int, options ...string) error {
	var b strings.Builder
	for n := range d.plan.Resources / 4 {
		if every > 1 && n%every == 0 {
			fmt.Fprintf(&b, `{"resourceType":"Organization","id":"o%d","active":true,"name":"Other org %d"}`+"\n", n, n)
			fmt.Fprintf(&b, `{"resourceType":"Practitioner","id":"p%d","active":true,"name":[{"family":"Family%d"}]}`+"\n", n, (n+1)%100)
			continue
		}
		fmt.Fprintf(&b, `{"resourceType":"Organization","id":"o%d","active":true,"name":"Org %d"}`+"\n", n, n)
		fmt.Fprintf(&b, `{"resourceType":"Location","id":"l%d","status":"active","name":"Place %d","address":{"city":"City%d"}}`+"\n", n, n, n%40)
		fmt.Fprintf(&b, `{"resourceType":"Practitioner","id":"p%d","active":true,"name":[{"family":"Family%d"}]}`+"\n", n, n%100)
		fmt.Fprintf(&b, `{"resourceType":"PractitionerRole","id":"r%d","active":true,"practitioner":{"reference":"Practitioner/p%d"},"location":[{"reference":"Location/l%d"}]}`+"\n", n, n, n)
	}
	input := filepath.Join(d.dir, "input.ndjson")
	if err := os.WriteFile(input, []byte(b.String()), 0o600); err != nil {
		return err
	}
	_, err := d.program.Run(append(append([]string{"load"}, options...), input)...)
	return err
}

// exportWhole exports the directory without damage.
func (d *damageRun) exportWhole(s *testkit.Server) error {
	if d.stored == nil {
		d.stored = map[string]bool{}
	}
	for _, filters := range damageFilters {
		lines, err := d.export(s, filters)
		if err != nil {
			return fmt.Errorf("without damage: %w", err)
		}
		if len(lines) == 0 {
			return fmt.Errorf("%v selects nothing", filters)
		}
		for _, line := range lines {
			d.stored[line] = true
		}
		d.want = append(d.want, lines)
	}
	return nil
}

// readTables reads which table or index each page of the undamaged database belongs to, and
// whether the pages have checksums.
func (d *damageRun) readTables() error {
	path := filepath.Join(d.whole, "directory.db")
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	d.sums = file[20] == damage.Size // "reserved bytes" in the header of the database
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer db.Close()
	d.tables, d.indexes = make([]string, len(file)/pageBytes+1), map[string]bool{}
	for n := range d.tables {
		d.tables[n] = "free"
	}
	err = sqlrows.Query(d.ctx, db, func(rows *sql.Rows) error {
		var page int
		var name string
		if err := rows.Scan(&page, &name); err != nil {
			return err
		}
		d.tables[page] = name
		return nil
	}, `SELECT pageno, name FROM dbstat`)
	if err != nil {
		return err
	}
	return sqlrows.Query(d.ctx, db, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		d.indexes[name] = true
		return err
	}, `SELECT name FROM sqlite_schema WHERE tbl_name LIKE 'ix\_%' ESCAPE '\' OR type = 'index' AND tbl_name = 'resource'`)
}

// damagedWait is how long a server on a damaged directory may take until it is ready. Without its
// clock, which is one page, it never is.
const damagedWait = 15 * time.Second

func (d *damageRun) serve(data string, options ...string) (*testkit.Server, error) {
	s, err := d.program.StartServer(d.address, "", append(options, "--data", data, "--audit-log", "off")...)
	if err != nil {
		return nil, err
	}
	return s, s.ReadyWithin(cmp.Or(d.wait, testkit.Patience))
}

// export returns the sorted lines of a complete export.
func (d *damageRun) export(s *testkit.Server, filters []string) (lines []string, err error) {
	ctx, cancel := context.WithTimeout(d.ctx, time.Minute)
	defer cancel()
	status, err := s.KickOff(testkit.Parameters("", filters...))
	if err != nil {
		return nil, err
	}
	return d.download(ctx, s, status)
}

// download returns the sorted lines of an export.
func (d *damageRun) download(ctx context.Context, s *testkit.Server, status string) (lines []string, err error) {
	m, err := s.Wait(ctx, status)
	if err != nil {
		return nil, err
	}
	for _, o := range m.Output {
		body, code, err := testkit.Fetch(ctx, o.URL, nil)
		if err != nil || code != 200 {
			return nil, fmt.Errorf("download: %d, %w", code, err)
		}
		lines = append(lines, strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")...)
	}
	slices.Sort(lines)
	return lines, nil
}

// copy damages a copy of the directory and exports it.
func (d *damageRun) copy(n int) error {
	data := filepath.Join(d.dir, "copy")
	if err := errors.Join(os.RemoveAll(data), os.CopyFS(data, os.DirFS(d.whole))); err != nil {
		return err
	}
	path := filepath.Join(data, "directory.db")
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, how, pages := d.damage(file, n)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		return err
	}
	d.wait = damagedWait
	s, err := d.serve(data)
	d.wait = 0
	if s != nil {
		defer s.Kill()
	}
	if err != nil {
		d.report.Starts[how]++
		return d.ctx.Err()
	}
	for e, filters := range damageFilters {
		lines, err := d.export(s, filters)
		outcome := "failed"
		if err == nil {
			outcome = d.compare(e, lines)
		}
		if outcome == otherResult {
			outcome += ", " + d.foundBy(data)
		}
		d.report.Exports[how+": "+outcome]++
		if outcome == "failed" || outcome == "right" {
			continue
		}
		text := fmt.Sprintf("copy %d, %s of %v: export %d: %s", n, how, pages, e, outcome)
		if strings.HasPrefix(outcome, otherResult) && d.stated(pages) {
			d.report.Different = append(d.report.Different, text)
		} else {
			d.report.Wrong = append(d.report.Wrong, text)
		}
	}
	return d.ctx.Err()
}

// foundBy says which check finds the damage of a directory.
func (d *damageRun) foundBy(data string) string {
	if _, err := d.program.Run("check", "--data", data); err != nil {
		return "found by check"
	}
	if _, err := d.program.Run("check", "--deep", "--data", data); err != nil {
		return "found by check --deep"
	}
	return "found by no check"
}

// stated reports whether docs/decisions/0022-damage.md states that damage of some pages can make
// results incomplete or too long: their database has no checksums of pages, and one belongs to an
// index.
func (d *damageRun) stated(pages []string) bool {
	return !d.sums && slices.ContainsFunc(pages, func(name string) bool { return d.indexes[strings.TrimLeft(name, "0123456789 ")] })
}

const pageBytes = 4096

// damage damages a file in one of five ways. It returns the number of each damaged page and its
// table or index.
func (d *damageRun) damage(file []byte, n int) (_ []byte, how string, pages []string) {
	count := len(file) / pageBytes
	name := func(p int) { pages = append(pages, fmt.Sprintf("%d %s", p+1, d.tables[p+1])) }
	page := func() int { // not the first one, without which nothing starts
		p := 1 + d.random.IntN(count-1)
		name(p)
		return p
	}
	at := func(p int) []byte { return file[p*pageBytes : (p+1)*pageBytes] }
	switch n % 5 {
	case 0:
		at(page())[d.random.IntN(pageBytes)] ^= 1 << d.random.IntN(8)
		return file, "a flipped bit", pages
	case 1:
		for range 40 {
			at(page())[d.random.IntN(pageBytes)] ^= 1 << d.random.IntN(8)
		}
		return file, "40 flipped bits", pages
	case 2:
		clear(at(page()))
		return file, "a zeroed page", pages
	case 3:
		a, b := at(page()), at(page())
		kept := bytes.Clone(a)
		copy(a, b)
		copy(b, kept)
		return file, "swapped pages", pages
	}
	cut := page()
	for p := cut + 1; p < count; p++ {
		name(p)
	}
	return file[:cut*pageBytes+d.random.IntN(pageBytes)], "a cut file", pages
}

const otherResult = "incomplete or too long"

// compare says how a complete export differs from the one without damage.
func (d *damageRun) compare(e int, lines []string) string {
	if slices.Equal(lines, d.want[e]) {
		return "right"
	}
	for n, line := range lines {
		if !d.stored[line] {
			return "a line that was never stored"
		}
		if n > 0 && line == lines[n-1] {
			return "a line twice"
		}
	}
	return otherResult
}

// files damages export files, and downloads them in both forms.
func (d *damageRun) files() error {
	if d.plan.Files == 0 {
		return nil
	}
	data := filepath.Join(d.dir, "files")
	if err := errors.Join(os.RemoveAll(data), os.CopyFS(data, os.DirFS(d.whole))); err != nil {
		return err
	}
	s, err := d.serve(data)
	if err != nil {
		return err
	}
	defer s.Kill()
	status, err := s.KickOff(testkit.Parameters("", damageFilters[0]...))
	if err != nil {
		return err
	}
	m, err := s.Wait(d.ctx, status)
	if err != nil {
		return err
	}
	parts, err := filepath.Glob(filepath.Join(data, "files", status[strings.LastIndexAny(status, "=/")+1:], "*.gz"))
	if err != nil || len(parts) != len(m.Output) {
		return fmt.Errorf("%d files of %d, %w", len(parts), len(m.Output), err)
	}
	for n := range d.plan.Files {
		if err := d.file(n, m, parts); err != nil {
			return err
		}
	}
	return nil
}

// file damages one file, and downloads all of them.
func (d *damageRun) file(n int, m testkit.Manifest, parts []string) error {
	path := parts[d.random.IntN(len(parts))]
	whole, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var before [][]byte
	forms := []map[string]string{nil, {"Accept-Encoding": "gzip"}, {"Range": "bytes=100-300"}, {"Range": "bytes=100-300", "Accept-Encoding": "gzip"}}
	fetch := func(yield func(body []byte, err error)) {
		for _, o := range m.Output {
			for _, form := range forms {
				body, code, err := testkit.Fetch(d.ctx, o.URL, form)
				if err == nil && code >= 300 {
					err = fmt.Errorf("status %d", code)
				}
				yield(body, err)
			}
		}
	}
	fetch(func(body []byte, err error) { before = append(before, body) })
	damaged := bytes.Clone(whole)
	switch n % 3 {
	case 0:
		damaged[d.random.IntN(len(damaged))] ^= 1 << d.random.IntN(8)
	case 1:
		from := d.random.IntN(len(damaged))
		clear(damaged[from:min(len(damaged), from+pageBytes)])
	case 2:
		damaged = damaged[:d.random.IntN(len(damaged))]
	}
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		return err
	}
	i := 0
	fetch(func(body []byte, err error) {
		switch {
		case err != nil:
			d.report.Files["broken off or refused"]++
		case bytes.Equal(body, before[i]):
			d.report.Files["right"]++
		default:
			d.report.Files["wrong"]++
			d.report.Wrong = append(d.report.Wrong, fmt.Sprintf("file %d, download %d: %d wrong bytes", n, i, len(body)))
		}
		i++
	})
	return os.WriteFile(path, whole, 0o600)
}
