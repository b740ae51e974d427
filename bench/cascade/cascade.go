package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"muster/internal/testkit"
)

// The targets of a cascade over 20,000 dependants.
const (
	doneTarget   = 5 * time.Second
	exportTarget = 6 * time.Second
)

// ownerElements are the elements by which resources belong to an organisation, by type.
var ownerElements = []struct{ file, element string }{
	{"PractitionerRole.ndjson", "organization"},
	{"HealthcareService.ndjson", "providedBy"},
	{"Location.ndjson", "managingOrganization"},
	{"Endpoint.ndjson", "managingOrganization"},
}

// dependantsPerScale is a lower bound of how many resources belong to organisations in a directory
// of scale 1.
const dependantsPerScale = 10_000

// family is an organisation with the resources that belong to it.
type family struct {
	id           string
	shown        string // the line of the organisation
	suppressed   string // the same with a suppression
	practitioner string // the id of a resource that does not depend on it
	dependants   []string
	others       []string // to which the dependants refer
}

// cascade measures the suppression of an organisation and its end, against an ordinary update of
// as many resources.
func (b *bench) cascade(ctx context.Context) (err error) {
	f, err := b.family()
	if err != nil {
		return err
	}
	if err := b.loadFamily(ctx, f); err != nil {
		return err
	}
	server, m, stop, err := b.serve()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	var updates, suppressions, lifts []cost
	var marked, exports []time.Duration
	for n := range b.rounds {
		c, err := b.fresh(ctx, m, func(into directory) error { return b.apply(ctx, into, changed(f.dependants, n)...) })
		if err != nil {
			return err
		}
		updates = append(updates, c)
		var hidden time.Duration
		if c, err = b.fresh(ctx, m, func(into directory) error {
			hidden, err = b.suppress(ctx, into, server, f)
			return err
		}); err != nil {
			return err
		}
		suppressions, marked = append(suppressions, c), append(marked, hidden)
		var export time.Duration
		if c, err = b.fresh(ctx, m, func(into directory) error {
			export, err = b.lift(ctx, into, server, f)
			return err
		}); err != nil {
			return err
		}
		lifts, exports = append(lifts, c), append(exports, export)
	}
	limit, suppression, lift := medians(updates), medians(suppressions), medians(lifts)
	n := len(f.dependants)
	fmt.Printf("| update of %d dependants, no state changes: the limit, %s | %v | |\n", n, b.database(), limit)
	fmt.Printf("| cascade over %d dependants, hidden, %s | %v | ratio %s; target %v |\n", n, b.database(), suppression, ratio(suppression, limit), doneTarget)
	fmt.Printf("| until no reader finds a dependant | %.2f s | ratio to the cascade %.2f |\n", median(marked).Seconds(), median(marked).Seconds()/suppression.wall.Seconds())
	fmt.Printf("| cascade over %d dependants, shown again, with an export meanwhile, %s | %v | ratio %s |\n", n, b.database(), lift, ratio(lift, limit))
	fmt.Printf("| export of one resource meanwhile, kick-off to manifest | %.2f s | ratio to the cascade %.2f; target %v |\n",
		median(exports).Seconds(), median(exports).Seconds()/lift.wall.Seconds(), exportTarget)
	return nil
}

// loadFamily creates the directory.
func (b *bench) loadFamily(ctx context.Context, f *family) (err error) {
	into, err := b.open(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	return b.apply(ctx, into, slices.Concat([]string{f.shown}, f.others, f.dependants)...)
}

// family makes a directory in which all dependants belong to one organisation, from resources of a
// synthetic directory.
func (b *bench) family() (*family, error) {
	source, err := b.generate(fmt.Sprint(b.dependants/dependantsPerScale + 1))
	if err != nil {
		return nil, err
	}
	f := &family{}
	if f.others, err = readLines(filepath.Join(source, "Practitioner.ndjson")); err != nil {
		return nil, err
	}
	var practitioner struct{ ID string }
	if err := json.Unmarshal([]byte(f.others[0]), &practitioner); err != nil {
		return nil, err
	}
	f.practitioner, f.id = practitioner.ID, "everything-belongs-to-it"
	f.shown = `{"resourceType":"Organization","id":"` + f.id + `","active":true,"name":"Everything"}` + "\n"
	f.suppressed = strings.Replace(f.shown, `"active":true`, `"extension":[{"url":"http://digitalhealth.gov.au/fhir/cc/StructureDefinition/suppressed","extension":[{"url":"suppressedBy","valueCodeableConcept":{"coding":[`+
		`{"system":"http://digitalhealth.gov.au/fhir/cc/CodeSystem/responsible-party-type","code":"organisation-initiated"}]}},{"url":"includeSelf","valueBoolean":true}]}],"active":true`, 1)
	for _, of := range ownerElements {
		all, err := readLines(filepath.Join(source, of.file))
		if err != nil {
			return nil, err
		}
		for _, line := range all[:min(len(all), b.dependants-len(f.dependants))] {
			owned, err := belongsTo(line, of.element, f.id)
			if err != nil {
				return nil, err
			}
			f.dependants = append(f.dependants, owned)
		}
	}
	if len(f.dependants) < b.dependants {
		return nil, fmt.Errorf("the directory has only %d dependants, want %d", len(f.dependants), b.dependants)
	}
	return f, nil
}

func readLines(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all := strings.SplitAfter(string(text), "\n")
	return all[:len(all)-1], nil
}

// belongsTo returns the line of a resource with the organisation in the element.
func belongsTo(line, element, organisation string) (string, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &members); err != nil {
		return "", err
	}
	members[element] = json.RawMessage(`{"reference":"Organization/` + organisation + `"}`)
	text, err := json.Marshal(members)
	return string(text) + "\n", err
}

// changed returns lines with another language, which no state follows from.
func changed(list []string, n int) []string {
	all := make([]string, len(list))
	for i, line := range list {
		all[i] = strings.TrimSuffix(line, "}\n") + fmt.Sprintf(`,"language":"en-x-%d"}`, n) + "\n"
	}
	return all
}

// suppress suppresses the organisation and returns after what time no reader found a dependant.
func (b *bench) suppress(ctx context.Context, into directory, server *testkit.Server, f *family) (hidden time.Duration, err error) {
	start := time.Now()
	return hidden, b.beside(ctx, into, f.suppressed, func(ctx context.Context) error {
		err := awaitHidden(ctx, server, f)
		hidden = time.Since(start)
		return err
	})
}

// lift ends the suppression and returns how long an export of one resource took meanwhile.
func (b *bench) lift(ctx context.Context, into directory, server *testkit.Server, f *family) (took time.Duration, err error) {
	return took, b.beside(ctx, into, f.shown, func(ctx context.Context) error {
		if err := awaitShown(ctx, server, f); err != nil {
			return err
		}
		start := time.Now()
		status, err := server.KickOff(testkit.Parameters("", "Practitioner?_id="+f.practitioner))
		if err != nil {
			return err
		}
		m, err := server.Wait(ctx, status)
		took = time.Since(start)
		if err == nil && (len(m.Output) != 1 || m.Output[0].Count != 1) {
			err = fmt.Errorf("the export has %v, want one resource", m.Output)
		}
		return err
	})
}

// beside loads a line and runs f meanwhile. It returns when both have ended.
func (b *bench) beside(ctx context.Context, into directory, line string, f func(context.Context) error) error {
	ctx, stop := context.WithTimeout(ctx, testkit.Patience)
	defer stop()
	loaded := make(chan error, 1)
	go func() {
		loaded <- b.apply(ctx, into, line)
	}()
	return errors.Join(f(ctx), <-loaded)
}

// awaitHidden waits until a client finds no dependant.
func awaitHidden(ctx context.Context, server *testkit.Server, f *family) error {
	for {
		body, status, err := testkit.Fetch(ctx, server.Base+"/PractitionerRole?_count=1&organization=Organization/"+f.id, nil)
		switch {
		case err != nil:
			return err
		case status != http.StatusOK:
			return fmt.Errorf("search: %d: %s", status, body)
		case !strings.Contains(string(body), `"resourceType":"PractitionerRole"`):
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// awaitShown waits until a client finds the organisation: its dependants are marked then.
func awaitShown(ctx context.Context, server *testkit.Server, f *family) error {
	for {
		body, status, err := testkit.Fetch(ctx, server.Base+"/Organization/"+f.id, nil)
		switch {
		case err != nil:
			return err
		case status == http.StatusOK:
			return nil
		case status != http.StatusNotFound:
			return fmt.Errorf("read: %d: %s", status, body)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
