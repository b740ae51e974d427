package flow

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"testing"
)

// TestClientsReadTheSameBytes downloads all parts with curl, Go, Node and Python, plain
// and compressed, and with ranges at random offsets.
func TestClientsReadTheSameBytes(t *testing.T) {
	t.Attr("requirements", "RE-03 RE-07 RE-11 RE-15")
	p := newDeployment(t)
	p.load(t, practitioners(t, 6000, "Ümläut\u2028"))
	s := p.serve(t, "", "--part-bytes", "600000")
	m := s.wait(s.kickOff(everyPractitioner))
	if len(m.Output) < 2 {
		t.Fatalf("only %d parts", len(m.Output))
	}
	for n, o := range m.Output {
		want := get(t, o.URL)
		for _, client := range []struct {
			name string
			args []string
		}{
			{"curl", []string{"--silent", "--show-error", "--fail", "--compressed", o.URL}},
			{"curl", []string{"--silent", "--show-error", "--fail", o.URL}},
			{"node", []string{"-e", "fetch(process.argv[1]).then(r => r.arrayBuffer()).then(b => process.stdout.write(Buffer.from(b)))", o.URL}},
			{"python3", []string{"-c", pythonDownload, o.URL}},
		} {
			got, err := run(t, client.name, client.args...)
			if err != nil {
				t.Errorf("RE-11: part %d by %s: %v", n, client.name, err)
			} else if !bytes.Equal(got, want) {
				t.Errorf("RE-11: part %d by %s: %d bytes that differ from the %d of Go", n, client.name, len(got), len(want))
			}
		}
		resp, err := http.Get(o.URL) // Go requests gzip and decodes it
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !resp.Uncompressed || !bytes.Equal(got, want) {
			t.Errorf("RE-11: part %d by Go with gzip: uncompressed %v, %d bytes, %v", n, resp.Uncompressed, len(got), err)
		}
		for range 20 {
			from := rand.IntN(len(want))
			to := from + rand.IntN(len(want)-from)
			if got := getRange(t, o.URL, from, to); !bytes.Equal(got, want[from:to+1]) {
				t.Errorf("RE-15: part %d, bytes %d-%d differ", n, from, to)
			}
		}
	}
}

const pythonDownload = `
import sys, urllib.request, gzip
request = urllib.request.Request(sys.argv[1], headers={"Accept-Encoding": "gzip", "Accept": "application/fhir+ndjson"})
with urllib.request.urlopen(request) as response:
    body = response.read()
    if response.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
sys.stdout.buffer.write(body)
`

// run runs a client program. If it is not installed the test is skipped; in CI the test
// fails.
func run(t *testing.T, name string, args ...string) ([]byte, error) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed, but CI requires it", name)
		}
		t.Skipf("%s is not installed: its downloads are not compared", name)
	}
	cmd := exec.Command(name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, errs.String())
	}
	return out.Bytes(), nil
}

func getRange(t *testing.T, url string, from, to int) []byte {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusPartialContent {
		t.Fatalf("RE-15: range %d-%d: %s, %v", from, to, resp.Status, err)
	}
	return body
}
