package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"muster/internal/humanize"
	"muster/internal/load"
	"muster/internal/oserror"
	"muster/internal/synth"

	"github.com/alecthomas/kong"
)

// demoCmd is `muster demo`.
type demoCmd struct {
	Exit   bool        `help:"Exit after the export instead of serving until Ctrl-C."`
	Scale  synth.Scale `default:"1" placeholder:"N" help:"Size of the directory, as for generate. Scale 1 is about 20,000 records (${default})."`
	Listen string      `default:"localhost:0" placeholder:"HOST:PORT" help:"Address to listen on; port 0 selects a free port (${default})."`
}

// Validate checks the address.
func (c *demoCmd) Validate() error { return checkListen("--listen", c.Listen) }

// Run generates a directory in a temporary folder, serves it, runs an export over HTTP
// and prints each step. It deletes the folder at the end.
func (c *demoCmd) Run(a app) (err error) {
	dir, err := os.MkdirTemp("", "muster-demo")
	if err != nil {
		return noRoom(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "data")
	out := printer{a.stdout}

	out.title("1. A synthetic directory")
	want, err := c.fill(a, out, filepath.Join(dir, "generated"), data)
	var disk *oserror.Error
	if errors.As(oserror.Wrap(dir, err), &disk) {
		return noRoom(err)
	}
	if err != nil {
		return err
	}

	var log bytes.Buffer // printed only if the demonstration fails
	quiet := a
	quiet.stderr = &log
	serve, err := c.server(data, c.Listen)
	if err != nil {
		return err
	}
	served, err := serve.start(quiet)
	if err != nil {
		return err
	}
	base := served.base
	ctx, stop := context.WithCancel(a.ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- served.run(ctx) }()

	if err := demoExport(ctx, out, base, want); err != nil {
		stop()
		return errors.Join(err, <-ended, errors.New("the log of the server:\n"+log.String()))
	}
	if c.Exit {
		stop()
		return <-ended
	}
	out.title("Your turn")
	out.line("The server runs at %s until Ctrl-C. Try:", base)
	out.line("  curl %s/metadata", base)
	out.line("  curl '%s/HealthcareService?location.address-city=Balmain&_include=HealthcareService:organization&_pretty=true'", base)
	out.line(`  curl -i -X POST '%s/$export' -H 'Content-Type: application/fhir+json' -H 'Prefer: respond-async' -d '%s'`, base, exportBody(synth.ExampleOne[:1]))
	return <-ended
}

// noRoom says what to do about an error of the folder for temporary files.
func noRoom(err error) error {
	return fmt.Errorf("write the demonstration to the folder for temporary files: %w: make space, or set another folder for temporary files (TMPDIR)", err)
}

// fill generates a synthetic directory, loads it, and returns the number of resources of
// each type that the export must contain.
func (c *demoCmd) fill(a app, out printer, folder, data string) (map[string]int, error) {
	start := time.Now()
	manifest, err := synth.Generate(a.ctx, folder, synth.Options{Scale: c.Scale, Seed: demoSeed})
	if err != nil {
		return nil, err
	}
	for _, f := range manifest.Files {
		if f.Type != "" {
			out.line("   %-18s %9s", f.Type, humanize.Int(f.Count))
		}
	}
	out.line("generated at scale %v with seed %d, all fictitious; loading takes a few seconds …", c.Scale, demoSeed)
	inputs, _, err := load.Inputs([]string{folder}, a.stdin)
	if err != nil {
		return nil, err
	}
	summary, err := loadInto(a, data, "", load.Config{}, inputs)
	if err != nil {
		return nil, err
	}
	if n := summary.RefusedTotal(); n > 0 {
		return nil, fmt.Errorf("loading refused %d resources of the demonstration", n)
	}
	out.line("%s resources loaded into %s, warnings: %s, %s", humanize.Int(summary.Created), data, humanize.Int(summary.WarnedTotal()), humanize.Duration(time.Since(start)))
	return countExampleOne(folder)
}

// server returns the serve command that the demonstration runs: with the defaults of
// muster serve, apart from the options set here.
func (c *demoCmd) server(data, address string) (*serveCmd, error) {
	s := &serveCmd{Data: data, Listen: address, Retention: time.Hour, PollLimit: "warn", DrainTimeout: time.Second}
	return s, kong.ApplyDefaults(s, valueOptions()...)
}

// maxResourcesShown is the number of resources of a file that are printed.
const maxResourcesShown = 10

// demoManifest is the part of a manifest that the demonstration reads.
type demoManifest struct {
	TransactionTime string
	Output          []demoFile
}

// demoFile is an entry of a manifest.
type demoFile struct {
	Type, URL string
	Count     int
}

// demoExport runs one export as a client does, prints each request and response, and
// checks the number of resources of each type.
func demoExport(ctx context.Context, out printer, base string, want map[string]int) error {
	client := demoClient{out}

	out.title("2. Kick-off: the first export example of the guide, as printed")
	for _, f := range synth.ExampleOne {
		out.line("   %s", f)
	}
	header, _, err := client.do(ctx, http.MethodPost, base+"/$export", exportBody(synth.ExampleOne), http.StatusAccepted, "Content-Location")
	if err != nil {
		return err
	}

	out.title("3. Poll until the manifest is ready")
	manifest, err := client.poll(ctx, header.Get("Content-Location"))
	if err != nil {
		return err
	}

	out.title("4. Download the files")
	total, counts := 0, map[string]int{}
	for _, file := range manifest.Output {
		if err := client.download(ctx, file); err != nil {
			return err
		}
		total += file.Count
		counts[file.Type] += file.Count
	}
	if err := checkExampleOne(counts, want); err != nil {
		return err
	}

	out.title("Done")
	for _, file := range manifest.Output {
		out.line("  %-18s %3d", file.Type, file.Count)
	}
	out.line("%d files, %d resources, all as of %s.", len(manifest.Output), total, manifest.TransactionTime)
	out.line("Inactive and suppressed resources are not included. An export with _since includes")
	out.line("them, with their state, so that a client can delete its copies.")
	return nil
}

// demoClient sends requests and prints them in brief.
type demoClient struct{ out printer }

// poll polls the status of an export until the manifest is ready.
func (c demoClient) poll(ctx context.Context, status string) (manifest demoManifest, err error) {
	for {
		header, body, err := c.do(ctx, http.MethodGet, status, "", 0, "X-Progress", "Retry-After")
		if err != nil {
			return manifest, err
		}
		if len(body) > 0 {
			c.out.block(body)
			return manifest, json.Unmarshal(body, &manifest)
		}
		wait, err := strconv.Atoi(header.Get("Retry-After"))
		if err != nil {
			return manifest, fmt.Errorf("read Retry-After of a poll: %w", err)
		}
		select {
		case <-ctx.Done():
			return manifest, ctx.Err()
		case <-time.After(time.Duration(wait) * time.Second):
		}
	}
}

// download downloads a file, checks its number of resources, and prints the first ones.
func (c demoClient) download(ctx context.Context, file demoFile) error {
	_, body, err := c.do(ctx, http.MethodGet, file.URL, "", http.StatusOK, "Content-Type")
	if err != nil {
		return err
	}
	if lines := bytes.Count(body, []byte("\n")); lines != file.Count {
		return fmt.Errorf("the file of %s has %d resources, but the manifest says %d", file.Type, lines, file.Count)
	}
	shown := 0
	for line := range bytes.Lines(body) {
		var resource struct{ ID string }
		if err := json.Unmarshal(line, &resource); err != nil {
			return fmt.Errorf("parse a line of %s: %w", file.Type, err)
		}
		if shown++; shown <= maxResourcesShown {
			c.out.line("      %s/%s", file.Type, resource.ID)
		}
	}
	if shown > maxResourcesShown {
		c.out.line("      … and %d more", shown-maxResourcesShown)
	}
	return nil
}

// do sends a request, prints it with the status and the named headers of the response,
// and returns headers and body. A status other than want is an error; if want is 0, any
// 2xx status is accepted.
func (c demoClient) do(ctx context.Context, method, url, body string, want int, show ...string) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
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
	c.out.line("-> %s %s", method, url)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, err
	}
	c.out.line("<- %s", resp.Status)
	for _, name := range show {
		if value := resp.Header.Get(name); value != "" {
			c.out.line("   %s: %s", name, value)
		}
	}
	if (want != 0 && resp.StatusCode != want) || resp.StatusCode >= 300 {
		return nil, nil, fmt.Errorf("%s %s returned %s: %s", method, url, resp.Status, content)
	}
	return resp.Header, content, nil
}

// exportBody returns the Parameters of a kick-off for filters of different types.
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
	// Encoding strings cannot fail.
	_ = encoder.Encode(struct {
		ResourceType string      `json:"resourceType"`
		Parameter    []parameter `json:"parameter"`
	}{"Parameters", list})
	return strings.TrimSpace(body.String())
}

// printer prints the output of the demonstration.
type printer struct{ w io.Writer }

func (p printer) title(text string)               { fmt.Fprintf(p.w, "\n== %s\n", text) }
func (p printer) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// block prints indented JSON, or the text as it is if it is not JSON.
func (p printer) block(body []byte) {
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "   ", "  ") != nil {
		pretty.Reset()
		pretty.Write(body)
	}
	p.line("   %s", strings.TrimSpace(pretty.String()))
}
