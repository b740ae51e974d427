package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"muster/bench/soak"
	"muster/internal/failpoint"
	"muster/internal/fhir"
	"muster/internal/rulestest"
	"muster/internal/rulestest/compare"
	"muster/internal/testkit"
)

// directory is a directory that the program loads and serves. It implements [compare.Target]. It
// kills processes: loaders and servers, each at a random failpoint or at a random time.
type directory struct {
	env      *soak.Env
	kills    *kills
	commands int // that are still to be killed
	servers  int // that are still to be killed
	random   *rand.Rand

	server *testkit.Server // nil before the first request
	point  string          // at which the server dies, if any
}

// kills counts kills. It is safe for use by several goroutines.
type kills struct {
	mu     sync.Mutex
	counts map[string]int // by what was killed where
	spare  int            // that earlier directories have left
}

// take returns how many kills a directory makes: its share, and what others have left.
func (k *kills) take(share int) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	share, k.spare = share+k.spare, 0
	return share
}

// leave returns the kills that a directory has not made.
func (k *kills) leave(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.spare += n
}

func (k *kills) add(what, point string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.counts[what+" at "+cmp.Or(point, "a random time")]++
}

func (k *kills) total() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return soak.Total(k.counts)
}

// at returns the arguments of a command on the directory.
func (d *directory) at(command string, args ...string) []string {
	where := []string{command, "--data", d.env.Data}
	if d.env.Database != "" {
		where = []string{command, "--database", d.env.Database}
	}
	return append(where, args...)
}

func (d *directory) write(name string, content []byte) (string, error) {
	path := filepath.Join(d.env.Dir, name)
	return path, os.WriteFile(path, content, 0o600)
}

// Load implements [compare.Target].
func (d *directory) Load(ctx context.Context, f compare.File, interrupted func() error) error {
	file, err := d.write("step.ndjson", f.Text)
	if err != nil {
		return err
	}
	if !f.Served {
		_, err = d.command(ctx, interrupted, "load", file)
		return err
	}
	rejects := filepath.Join(d.env.Dir, "rejects.ndjson")
	if err := os.Remove(rejects); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err = d.command(ctx, interrupted, "load", "--rejects", rejects, file); err == nil {
		return nil
	}
	refused, readErr := os.ReadFile(rejects)
	lines := bytes.Count(refused, []byte("\n"))
	if readErr != nil || lines == 0 || lines != bytes.Count(refused, []byte(`"reason":"`+compare.RefusesServed)) {
		return errors.Join(err, readErr)
	}
	return nil // it exits with a code since it has refused lines that were served
}

// Remove implements [compare.Target].
func (d *directory) Remove(ctx context.Context, names []rulestest.Name, interrupted func() error) error {
	var list bytes.Buffer
	for _, n := range names {
		fmt.Fprintln(&list, n)
	}
	file, err := d.write("removed.ids", list.Bytes())
	if err != nil {
		return err
	}
	killed, err := d.command(ctx, interrupted, "remove", "--yes", file)
	if killed && err != nil {
		return nil // it exits with a code since the killed command has removed some
	}
	return err
}

// command runs a command until it is not killed. killed reports whether it was before.
func (d *directory) command(ctx context.Context, interrupted func() error, name string, args ...string) (killed bool, err error) {
	for {
		point, life := "", testkit.Patience
		if d.commands > 0 && d.random.IntN(2) == 0 {
			if point = d.drawPoint("load", "load.", "directory.apply."); point == "" {
				life = time.Duration(d.random.Int64N(int64(150 * time.Millisecond)))
			}
		}
		p, err := d.env.Program.Start(point, d.at(name, args...)...)
		if err != nil {
			return killed, err
		}
		select {
		case <-p.Exited():
		case <-time.After(life):
			point = ""
			p.Kill()
		case <-ctx.Done():
			p.Kill()
			return killed, context.Cause(ctx)
		}
		if !p.Killed() {
			if code := p.ExitCode(); code != 0 {
				return killed, fmt.Errorf("muster %s exited with code %d:\n%s", name, code, p.Log())
			}
			return killed, nil
		}
		if life == testkit.Patience && point == "" {
			return killed, fmt.Errorf("muster %s does not end:\n%s", name, p.Log())
		}
		killed = true
		d.commands--
		d.kills.add("muster "+name, point)
		if err := interrupted(); err != nil {
			return killed, err
		}
	}
}

// drawPoint draws a failpoint of a command with one of the prefixes. In one of three cases it is
// empty: the process dies at a random time.
func (d *directory) drawPoint(command string, prefixes ...string) string {
	if d.random.IntN(3) == 0 {
		return ""
	}
	var points []string
	for _, p := range failpoint.All {
		for _, prefix := range prefixes {
			if p.Command == command && strings.HasPrefix(p.Name, prefix) {
				points = append(points, p.Name)
			}
		}
	}
	return points[d.random.IntN(len(points))]
}

// lease is the time after which a server takes over the work of one that was killed.
const lease = time.Second

// running returns a server, after the first or a killed one has been started.
func (d *directory) running() (*testkit.Server, error) {
	if d.server != nil {
		select {
		case <-d.server.Exited():
			if !d.server.Killed() {
				return nil, fmt.Errorf("the server exited with code %d:\n%s", d.server.ExitCode(), d.server.Log())
			}
			d.servers--
			d.kills.add("the server", d.point)
		default:
			return d.server, nil
		}
	}
	address, err := testkit.FreeAddress()
	if err != nil {
		return nil, err
	}
	if d.point = ""; d.servers > 0 {
		d.point = d.drawPoint("serve", "export.accepted", "export.select", "export.writing", "export.part.", "export.finished", "job.", "jobs.", "blob.", "directory.snapshot.")
	}
	args := []string{
		"--data", d.env.Data, "--base-url", rulestest.Base, "--lease", lease.String(), "--jobs", "0", "--client-quota", "0", "--quota", "0", "--searches", "0",
	}
	if d.env.Database != "" {
		args = append(args, "--database", d.env.Database)
	}
	if d.server, err = d.env.Program.StartServer(address, d.point, args...); err != nil {
		return nil, err
	}
	return d.server, d.server.Ready()
}

// stop stops the server.
func (d *directory) stop() {
	if d.server != nil {
		d.server.Kill()
		d.server = nil
	}
}

// log returns the end of the log of the server.
func (d *directory) log() string {
	if d.server == nil {
		return ""
	}
	log := d.server.Log()
	return log[max(0, len(log)-4000):]
}

// ask asks the server, again if it is killed meanwhile.
func (d *directory) ask(ctx context.Context, question func(*testkit.Server) error) error {
	for {
		s, err := d.running()
		if err != nil {
			return err
		}
		err = question(s)
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-s.Exited():
		case <-time.After(time.Second): // the error was not that of a connection that ends
			return err
		}
	}
}

// Get implements [compare.Target].
func (d *directory) Get(ctx context.Context, path string) (status int, body []byte, err error) {
	path = strings.TrimPrefix(path, rulestest.Base+"/")
	err = d.ask(ctx, func(s *testkit.Server) error {
		body, status, err = testkit.Fetch(ctx, s.Base+"/"+path, map[string]string{"Accept": "application/fhir+json"})
		return err
	})
	return status, body, err
}

// manifest is what a client reads of a completion manifest.
type manifest struct {
	TransactionTime string
	Output, Deleted []testkit.Output
}

// attempts is how many times a server begins an export that a killed one has left.
const attempts = 3

// errFailed is the error of an export that has failed.
var errFailed = errors.New("the export failed")

// Export implements [compare.Target]. An export that failed since too many servers were killed is
// started again.
func (d *directory) Export(ctx context.Context, r compare.Request) (compare.Result, error) {
	for {
		left := d.servers
		result, err := d.exportOnce(ctx, r)
		if !errors.Is(err, errFailed) || left-d.servers < attempts {
			return result, err
		}
	}
}

func (d *directory) exportOnce(ctx context.Context, r compare.Request) (result compare.Result, err error) {
	since, job := "", ""
	if r.Since != nil {
		since = r.Since.String()
	}
	err = d.ask(ctx, func(s *testkit.Server) (err error) {
		if d.servers > 0 && d.random.IntN(2) == 0 {
			defer time.AfterFunc(time.Duration(d.random.Int64N(int64(60*time.Millisecond))), s.Kill).Stop()
		}
		if job == "" {
			if job, err = s.KickOff(testkit.Parameters(since, r.Filters...)); err != nil {
				return err
			}
		}
		result, err = d.download(ctx, s, job)
		return err
	})
	return result, err
}

// download waits for an export and downloads its files.
func (d *directory) download(ctx context.Context, s *testkit.Server, job string) (result compare.Result, err error) {
	get := func(url string) ([]byte, int, error) {
		return testkit.Fetch(ctx, strings.Replace(url, rulestest.Base, s.Base, 1), nil)
	}
	var m manifest
	for deadline := time.Now().Add(testkit.Patience); ; time.Sleep(10 * time.Millisecond) {
		body, status, err := get(job)
		if err != nil {
			return result, err
		}
		if status == http.StatusOK {
			if err := json.Unmarshal(body, &m); err != nil {
				return result, fmt.Errorf("manifest: %w", err)
			}
			break
		}
		if status == http.StatusInternalServerError {
			return result, fmt.Errorf("%w: %s", errFailed, body)
		}
		if status != http.StatusAccepted || time.Now().After(deadline) {
			return result, fmt.Errorf("poll: %d: %s", status, body)
		}
	}
	if result.Time, err = fhir.ParseInstant(m.TransactionTime); err != nil {
		return result, err
	}
	for _, file := range append(m.Output, m.Deleted...) {
		body, status, err := get(file.URL)
		if err != nil {
			return result, err
		}
		if status != http.StatusOK {
			return result, fmt.Errorf("download of a file of %s: %d: %s", file.Type, status, body)
		}
		if err := addLines(&result, file, body); err != nil {
			return result, err
		}
	}
	return result, nil
}

// addLines adds the lines of a file to a result. The removal List is not compared.
func addLines(result *compare.Result, file testkit.Output, body []byte) error {
	lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	if len(lines) != file.Count {
		return fmt.Errorf("a file of %s has %d lines, the manifest says %d", file.Type, len(lines), file.Count)
	}
	switch file.Type {
	case "List":
		return nil
	case "Bundle":
		for _, line := range lines {
			var bundle struct {
				Entry []struct{ Request struct{ Method, URL string } }
			}
			if err := json.Unmarshal(line, &bundle); err != nil {
				return err
			}
			for _, e := range bundle.Entry {
				n, ok := rulestest.ParseName(e.Request.URL)
				if !ok || e.Request.Method != http.MethodDelete {
					return fmt.Errorf("a file of removals has the entry %+v", e)
				}
				result.Deleted = append(result.Deleted, n)
			}
		}
		return nil
	}
	result.Lines = append(result.Lines, lines...)
	return nil
}
