package flow

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/testkit"
)

// at returns the deployment with another free address to listen on.
func (p deployment) at(t *testing.T) deployment {
	t.Helper()
	address, err := testkit.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p.address = address
	return p
}

// unnamed is the option that removes the base URL that testkit sets.
const unnamed = "--base-url="

// TestDefaultAddressFollowsTheListener serves one directory at three addresses, one after the
// other, without a base URL. All links begin with the address of the listener, and none is
// stored. An export that began at the first address, with a filter that contains it, completes
// at the second.
func TestDefaultAddressFollowsTheListener(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, newDeployment func(*testing.T) deployment) {
		first := newDeployment(t)
		first.load(t, services(t))
		dying := first.serve(t, "export.accepted", unnamed)
		wantAddress(t, dying.Base, dying.Base)
		body := testkit.Parameters("", "HealthcareService?organization="+dying.Base+"/Organization/o1")
		if _, err := dying.KickOff(body); err == nil {
			t.Fatal("the server was not killed at the kick-off")
		}
		if err := dying.WaitKilled(); err != nil {
			t.Fatal(err)
		}

		second := first.at(t)
		s := second.serve(t, "", unnamed)
		wantAddress(t, s.Base, s.Base)
		var job string
		if err := second.jobs(t).QueryRow(`SELECT id FROM job WHERE id <> ''`).Scan(&job); err != nil {
			t.Fatal(err)
		}
		wantManifest(t, s.wait(s.Base+"/$export-poll-status?_jobId="+job), s.Base)
		s.Kill()

		// A base URL that is given is stored. The next server has it without the option.
		const public = "https://directory.example.org/fhir"
		named := first.at(t).serve(t, "", "--base-url", public, "--behind-proxy")
		wantAddress(t, named.Base, public)
		named.Kill()
		stored := first.at(t).serve(t, "", unnamed)
		wantAddress(t, stored.Base, public)
		stored.Kill()
		refused := first.at(t)
		refused.refused(t, refused, "its base URL is "+public, "muster rebase --base-url http://"+refused.address+"/fhir")
		first.verify(t)
	})
}

// TestRebase moves a directory while an export is running. A directory that is served is
// refused. The manifest of the export that began before has links with the new base URL.
func TestRebase(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, newDeployment func(*testing.T) deployment) {
		p := newDeployment(t)
		p.load(t, services(t))
		const old, public = "http://old.example.org/fhir", "http://new.example.org/fhir"
		rebase := append(append([]string{"rebase"}, p.directory()...), "--base-url", public)
		s := p.serve(t, "", "--base-url", old, "--workers", "1")
		at := strings.TrimSuffix(s.Base, "/fhir")
		done := s.kickOff(testkit.Parameters("", "HealthcareService?organization="+old+"/Organization/o1"))
		complete := s.wait(at + strings.TrimPrefix(done, "http://old.example.org"))
		wantManifest(t, complete, old)
		if out, err := muster.Run(rebase...); err == nil || !strings.Contains(out, "being served") {
			t.Fatalf("a directory that is served was moved: %v\n%s", err, out)
		}
		running := s.kickOff(testkit.Parameters("", "HealthcareService?organization="+old+"/Organization/o1"))
		if err := s.Terminate(); err != nil {
			t.Fatal(err)
		}

		out, err := muster.Run(rebase...)
		if err != nil || !strings.Contains(out, "the base URL is "+public+" now; it was "+old) {
			t.Fatalf("%v\n%s", err, out)
		}
		moved := p.serve(t, "", unnamed)
		wantAddress(t, moved.Base, public)
		for _, status := range []string{done, running} {
			wantManifest(t, moved.wait(at+strings.TrimPrefix(status, "http://old.example.org")), public)
		}
		p.verify(t)
	})
}

// services writes an Organization and its HealthcareService to an NDJSON file and returns its
// path.
func services(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "services.ndjson")
	err := os.WriteFile(path, []byte(`{"resourceType":"Organization","id":"o1","active":true,"name":"A"}
{"resourceType":"HealthcareService","id":"h1","active":true,"providedBy":{"reference":"Organization/o1"}}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// wantAddress checks the base URL of the links of a server that listens at base.
func wantAddress(t *testing.T, base, want string) {
	t.Helper()
	for path, link := range map[string]func(answer) string{
		"/metadata":                    func(a answer) string { return a.Implementation.URL },
		"/HealthcareService?_id=h1":    func(a answer) string { return a.Entry[0].FullURL },
		"/HealthcareService?_id=h1,h2": func(a answer) string { return a.Link[0].URL },
	} {
		body, status, err := testkit.Fetch(t.Context(), base+path, nil)
		if err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d, %v", path, status, err)
		}
		var a answer
		if err := json.Unmarshal(body, &a); err != nil {
			t.Fatal(err)
		}
		if got := link(a); got != want && !strings.HasPrefix(got, want+"/") {
			t.Errorf("%s: the link is %s, want the base URL %s", path, got, want)
		}
	}
}

// answer is the part of a CapabilityStatement or Bundle that has links.
type answer struct {
	Implementation struct{ URL string }
	Link           []struct{ URL string }
	Entry          []struct{ FullURL string }
}

// wantManifest checks the links of the manifest of an export with one resource.
func wantManifest(t *testing.T, m testkit.Manifest, base string) {
	t.Helper()
	if m.Request != base+"/$export" || len(m.Output) != 1 || m.Output[0].Count != 1 || !strings.HasPrefix(m.Output[0].URL, base+"/Binary/") {
		t.Errorf("the manifest is %+v, want one resource and links that begin with %s", m, base)
	}
}
