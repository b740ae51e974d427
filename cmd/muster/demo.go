package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"muster/internal/load"
	"muster/internal/synth"

	"github.com/alecthomas/kong"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// demoCmd is `muster demo`.
type demoCmd struct {
	Exit   bool        `help:"End after the export instead of serving until Ctrl-C."`
	Scale  synth.Scale `default:"1" placeholder:"N" help:"Size of the directory, as for generate; scale 1 is about 20,000 records."`
	Listen string      `default:"localhost:0" placeholder:"HOST:PORT" help:"Address to listen on; port 0 takes a free one (${default})."`
}

// Run makes the directory in a temporary folder, serves it, exports from it over
// HTTP and shows each step. The folder goes when the command ends.
func (c *demoCmd) Run(a app) (err error) {
	dir, err := os.MkdirTemp("", "muster-demo")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "data")
	say := printer{a.stdout}

	say.title("1. A synthetic directory")
	want, err := c.fill(a, say, filepath.Join(dir, "made"), data)
	if err != nil {
		return err
	}

	address, err := freePort(a.ctx, c.Listen)
	if err != nil {
		return err
	}
	base := "http://" + address + "/fhir"
	var log bytes.Buffer // shown only if something goes wrong
	quiet := a
	quiet.stderr = &log
	serve, err := c.server(data, address, base)
	if err != nil {
		return err
	}
	served, err := serve.start(quiet)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(a.ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- served.run(ctx) }()

	if err := demoExport(ctx, say, base, want); err != nil {
		stop()
		return errors.Join(err, <-ended, errors.New("the log of the server:\n"+log.String()))
	}
	if c.Exit {
		stop()
		return <-ended
	}
	say.title("Your turn")
	say.line("The server stays at %s until Ctrl-C. Try:", base)
	say.line("  curl %s/metadata", base)
	say.line("  curl '%s/HealthcareService?location.address-city=Balmain&_include=HealthcareService:organization&_pretty=true'", base)
	say.line(`  curl -i -X POST '%s/$export' -H 'Content-Type: application/fhir+json' -H 'Prefer: respond-async' -d '%s'`, base, exportBody(exampleOne[:1]))
	return <-ended
}

// fill makes a synthetic directory, loads it, and returns how many resources of each
// type the export will have to bring.
func (c *demoCmd) fill(a app, say printer, made, data string) (map[string]int, error) {
	start := time.Now()
	manifest, err := synth.Generate(a.ctx, made, synth.Options{Scale: c.Scale, Seed: demoSeed})
	if err != nil {
		return nil, err
	}
	for _, f := range manifest.Files {
		if f.Type != "" {
			say.line("   %-18s %9s", f.Type, thousands(f.Count))
		}
	}
	say.line("made at scale %v with seed %d, nobody in it is real; loading takes a few seconds …", c.Scale, demoSeed)
	inputs, err := load.Inputs([]string{made}, a.stdin)
	if err != nil {
		return nil, err
	}
	summary, err := loadInto(a, data, "", load.Config{}, inputs)
	if err != nil {
		return nil, err
	}
	if n := summary.RefusedTotal(); n > 0 {
		return nil, fmt.Errorf("%d resources of the demonstration were refused", n)
	}
	say.line("%s resources loaded into %s, warnings: %s, %.1f s", thousands(int(summary.Created)), data, thousands(int(summary.WarnedTotal())), time.Since(start).Seconds())
	return countExampleOne(made)
}

func thousands(n int) string { return message.NewPrinter(language.English).Sprint(n) }

// freePort turns port 0 of an address into one that is free now: the base URL must
// be known before the server listens.
func freePort(ctx context.Context, address string) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("listen on %s: %w: choose another address with --listen", address, err)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", errors.Join(err, listener.Close())
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return net.JoinHostPort(host, port), errors.Join(err, listener.Close())
}

// server returns the serve command that the demonstration runs: with the defaults of muster
// serve, apart from the options set here.
func (c *demoCmd) server(data, address, base string) (*serveCmd, error) {
	s := &serveCmd{Data: data, Listen: address, BaseURL: base, Retention: time.Hour, PollLimit: "warn", DrainTimeout: time.Second}
	return s, kong.ApplyDefaults(s, flagVars())
}

// shownResources is how many resources of a file are shown.
const shownResources = 10

// demoExport runs one export as a client does and shows each request and answer.
func demoExport(ctx context.Context, say printer, base string, want map[string]int) error {
	client := demoClient{ctx, say}

	say.title("2. Kick-off: the first export example of the guide, as printed")
	for _, f := range exampleOne {
		say.line("   %s", f)
	}
	header, _, err := client.do(http.MethodPost, base+"/$export", exportBody(exampleOne), http.StatusAccepted, "Content-Location")
	if err != nil {
		return err
	}
	status := header.Get("Content-Location")

	say.title("3. Poll until the manifest is there")
	var manifest struct {
		TransactionTime string
		Output          []struct {
			Type, URL string
			Count     int
		}
	}
	for manifest.TransactionTime == "" {
		header, body, err := client.do(http.MethodGet, status, "", 0, "X-Progress", "Retry-After")
		if err != nil {
			return err
		}
		if len(body) > 0 {
			if err := json.Unmarshal(body, &manifest); err != nil {
				return err
			}
			say.block(body)
			break
		}
		wait, err := strconv.Atoi(header.Get("Retry-After"))
		if err != nil {
			return fmt.Errorf("the answer to a poll has no Retry-After in seconds: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(wait) * time.Second):
		}
	}

	say.title("4. Fetch the files")
	total, counts := 0, map[string]int{}
	for _, file := range manifest.Output {
		_, body, err := client.do(http.MethodGet, file.URL, "", http.StatusOK, "Content-Type")
		if err != nil {
			return err
		}
		lines := bytes.Count(body, []byte("\n"))
		if lines != file.Count {
			return fmt.Errorf("the file of %s has %d resources, the manifest says %d", file.Type, lines, file.Count)
		}
		shown := 0
		for line := range bytes.Lines(body) {
			var resource struct{ ID string }
			if err := json.Unmarshal(line, &resource); err != nil {
				return fmt.Errorf("a line of %s: %w", file.Type, err)
			}
			if shown++; shown <= shownResources {
				say.line("      %s/%s", file.Type, resource.ID)
			}
		}
		if shown > shownResources {
			say.line("      … and %d more", shown-shownResources)
		}
		total += lines
		counts[file.Type] += lines
	}
	if err := checkExampleOne(counts, want); err != nil {
		return err
	}

	say.title("Done")
	for _, file := range manifest.Output {
		say.line("  %-18s %3d", file.Type, file.Count)
	}
	say.line("%d files, %d resources, every one as it was at %s.", len(manifest.Output), total, manifest.TransactionTime)
	say.line("Inactive and suppressed resources stayed out; with _since they are in, marked, so that a copy can drop them.")
	return nil
}

// demoClient sends requests and shows them in brief.
type demoClient struct {
	ctx context.Context
	say printer
}

// do sends a request, shows it with the answer's status and the named headers, and
// returns headers and body. A status other than want is an error; want 0 takes
// any success.
func (c demoClient) do(method, url, body string, want int, show ...string) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(c.ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	accept := "application/fhir+json"
	if strings.Contains(url, "/Binary/") {
		accept = "application/fhir+ndjson"
	}
	req.Header.Set("Accept", accept)
	if body != "" {
		req.Header.Set("Content-Type", "application/fhir+json")
		req.Header.Set("Prefer", "respond-async")
	}
	c.say.line("-> %s %s", method, url)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, err
	}
	c.say.line("<- %s", resp.Status)
	for _, name := range show {
		if value := resp.Header.Get(name); value != "" {
			c.say.line("   %s: %s", name, value)
		}
	}
	if (want != 0 && resp.StatusCode != want) || resp.StatusCode >= 300 {
		return nil, nil, fmt.Errorf("%s %s answered %s: %s", method, url, resp.Status, answer)
	}
	return resp.Header, answer, nil
}

// exportBody writes the Parameters of a kick-off for filters of different types.
func exportBody(filters []string) string {
	type parameter struct {
		Name  string `json:"name"`
		Value string `json:"valueString"`
	}
	var types []string
	var list []parameter
	for _, f := range filters {
		name, _, _ := strings.Cut(f, "?")
		types = append(types, name)
		list = append(list, parameter{"_typeFilter", f})
	}
	list = append([]parameter{{"_outputFormat", "application/fhir+ndjson"}, {"_type", strings.Join(types, ",")}}, list...)
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	// Strings in a struct always encode.
	_ = encoder.Encode(struct {
		ResourceType string      `json:"resourceType"`
		Parameter    []parameter `json:"parameter"`
	}{"Parameters", list})
	return strings.TrimSpace(body.String())
}

// printer writes the story of the demonstration.
type printer struct{ w io.Writer }

func (p printer) title(text string)               { fmt.Fprintf(p.w, "\n== %s\n", text) }
func (p printer) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

func (p printer) block(body []byte) {
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "   ", "  ") != nil {
		pretty.Reset()
		pretty.Write(body)
	}
	p.line("   %s", strings.TrimSpace(pretty.String()))
}
