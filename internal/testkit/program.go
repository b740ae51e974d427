// Package testkit runs the real program for tests and benchmarks: it builds muster, starts
// `muster serve`, sends HTTP requests as a client does, and kills it. It also has small helpers
// for tests inside the program, such as [Clock] and [Log].
package testkit

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Patience is the time after which a wait fails.
const Patience = 3 * time.Minute

// Program is the path of a built muster.
type Program string

// Build compiles cmd/muster into dir.
func Build(dir string) (Program, error) {
	path := filepath.Join(dir, "muster")
	build := exec.Command("go", "build", "-o", path, "muster/cmd/muster")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build muster: %w\n%s", err, out)
	}
	return Program(path), nil
}

// Main builds the program for the tests of a package, runs them and returns their
// exit code. With -short it runs none: they take minutes. A TestMain is
// os.Exit(testkit.Main(m, &muster)).
func Main(tests interface{ Run() int }, program *Program) int {
	flag.Parse()
	if testing.Short() {
		fmt.Println("skipped with -short: these tests run the built program")
		return 0
	}
	dir, err := os.MkdirTemp("", "muster-tests")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if *program, err = Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return tests.Run()
}

// Run runs a command of muster and returns its output.
func (p Program) Run(args ...string) (string, error) {
	out, err := exec.Command(string(p), args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("muster %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Kill runs a command of muster and kills it with SIGKILL when ctx ends. If the command exits
// before, Kill returns its error.
func (p Program) Kill(ctx context.Context, args ...string) error {
	return exec.CommandContext(ctx, string(p), args...).Run()
}

// FreeAddress returns a free address of this machine. Its host is random in 127.0.0.0/8, so that
// another test does not take the address before it is used.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254)))
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Server is a running `muster serve`. Safe for use by several goroutines.
type Server struct {
	*Process
	Base    string // base URL
	address string
	dies    bool // a failpoint is armed
}

// Serve starts the program on a data directory and waits until it is ready. With a point ("name"
// or "name@n") it is killed at that failpoint.
func (p Program) Serve(data, address, point string, args ...string) (*Server, error) {
	s, err := p.StartServer(address, point, append([]string{"--data", data}, args...)...)
	if err != nil {
		return nil, err
	}
	if err := s.Ready(); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// StartServer starts `muster serve` on an address without waiting for it. The base URL contains
// the address, unless args set another one.
func (p Program) StartServer(address, point string, args ...string) (*Server, error) {
	s := &Server{Base: "http://" + address + "/fhir", address: address, dies: point != ""}
	var err error
	s.Process, err = p.Start(point, append([]string{"serve", "--listen", address, "--base-url", s.Base, "--poll-limit", "off"}, args...)...)
	return s, err
}

// Ready waits until the server is ready. It returns an error if the server exits before, unless a
// failpoint is armed.
func (s *Server) Ready() error { return s.ReadyWithin(Patience) }

// ReadyWithin is [Server.Ready] with another time to wait.
func (s *Server) ReadyWithin(wait time.Duration) error {
	for deadline := time.Now().Add(wait); time.Now().Before(deadline); {
		if resp, err := http.Get("http://" + s.address + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.exit:
			if s.dies {
				return nil
			}
			return fmt.Errorf("the server exited: %v\n%s", s.cmd.ProcessState, s.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server is not ready:\n%s", s.Log())
}

// Parameters returns the body of a kick-off with one filter for each type.
func Parameters(since string, filters ...string) string {
	type parameter struct {
		Name    string `json:"name"`
		String  string `json:"valueString,omitempty"`
		Instant string `json:"valueInstant,omitempty"`
	}
	list := []parameter{{Name: "_outputFormat", String: "application/fhir+ndjson"}}
	for _, f := range filters {
		name, _, _ := strings.Cut(f, "?")
		list = append(list, parameter{Name: "_type", String: name}, parameter{Name: "_typeFilter", String: f})
	}
	if since != "" {
		list = append(list, parameter{Name: "_since", Instant: since})
	}
	// Strings always encode.
	body, _ := json.Marshal(struct {
		ResourceType string      `json:"resourceType"`
		Parameter    []parameter `json:"parameter"`
	}{"Parameters", list})
	return string(body)
}

// KickOff posts an export request, with more preferences if there are any, and returns the status
// URL.
func (s *Server) KickOff(body string, preferences ...string) (string, error) {
	req, err := http.NewRequest(http.MethodPost, s.Base+"/$export", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/fhir+json")
	req.Header.Set("Accept", "application/fhir+json")
	req.Header.Set("Prefer", strings.Join(append(preferences, "respond-async"), ", "))
	client := http.Client{Timeout: Patience} // the server may be suspended before it answers
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("kick-off: %s: %s", resp.Status, answer)
	}
	return resp.Header.Get("Content-Location"), nil
}

// Manifest is a completion manifest as a client reads it.
type Manifest struct {
	TransactionTime string
	Request         string
	Output          []Output
	Message         string
	Extension       struct{ Membership string }
}

// Output is one file of a [Manifest].
type Output struct {
	Type  string
	URL   string
	Count int
}

// ReadManifest reads a completion manifest.
func ReadManifest(body []byte) (m Manifest, err error) { return m, json.Unmarshal(body, &m) }

// Wait polls until the export is complete or ctx ends.
func (s *Server) Wait(ctx context.Context, status string) (Manifest, error) {
	var m Manifest
	for {
		body, code, err := Fetch(ctx, status, nil)
		switch {
		case err != nil:
			return m, err
		case code == http.StatusOK:
			return ReadManifest(body)
		case code != http.StatusAccepted:
			return m, fmt.Errorf("poll: %d: %s", code, body)
		}
		select {
		case <-ctx.Done():
			return m, errors.New("the export did not complete in time")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Fetch gets a URL with the headers given. Without an Accept-Encoding header it requests no
// compression.
func Fetch(ctx context.Context, url string, header map[string]string) (body []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept-Encoding", "identity")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return body, resp.StatusCode, err
}
