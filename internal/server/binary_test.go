package server

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"muster/internal/blob"
	"muster/internal/damage"
	"muster/internal/export"
	"muster/internal/fhir"
	"muster/internal/part"
	"muster/internal/store"
)

// ndjsonOfSize returns NDJSON of about size bytes.
func ndjsonOfSize(size int) string {
	var b strings.Builder
	for n := 0; b.Len() < size; n++ {
		fmt.Fprintf(&b, `{"resourceType":"Location","id":"%d","name":"%s"}`+"\n", n, strings.Repeat(strconv.Itoa(n*7919), n%9))
	}
	return b.String()
}

func startWithFile(t *testing.T, text string, change ...func(*Config)) *testServer {
	t.Helper()
	u := startServer(t, change...)
	u.fake.file = storedFile(t, text)
	return u
}

// threeFragments is a size that takes more than two fragments of a part.
const threeFragments = 2<<20 + 1<<18

const filePath = "/api/v1/fhir/Binary/" + knownFile

// readForm decodes the NDJSON of a response, and returns the name of its form.
func readForm(t *testing.T, r reply) (form, text string) {
	t.Helper()
	if r.err != nil {
		t.Fatal(r.err)
	}
	if length := r.Header.Get("Content-Length"); length != strconv.Itoa(len(r.body)) {
		t.Errorf("Content-Length %q of %d bytes", length, len(r.body))
	}
	switch {
	case r.Header.Get("Content-Type") == fhirJSON:
		var b struct{ ResourceType, ID, ContentType, Data string }
		if err := json.Unmarshal(r.body, &b); err != nil || b.ResourceType != "Binary" || b.ID != knownFile || b.ContentType != fhirNDJSON {
			t.Fatalf("%+v, %v is not the Binary", b, err)
		}
		data, err := base64.StdEncoding.DecodeString(b.Data)
		if err != nil {
			t.Fatal(err)
		}
		return "Binary", string(data)
	case r.Header.Get("Content-Encoding") == "gzip":
		z, err := gzip.NewReader(bytes.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		return "gzip", string(data)
	}
	return "plain", string(r.body)
}

func TestFileForms(t *testing.T) {
	text := ndjsonOfSize(1 << 16)
	u := startWithFile(t, text)
	for _, c := range []struct {
		req, name, query string
		headers          []string
		want             string
	}{
		{"RE-03", "NDJSON", "", []string{"Accept: application/fhir+ndjson"}, "plain"},
		{"RE-05", "no Accept", "", nil, "plain"},
		{"RE-05", "any", "", []string{"Accept: */*"}, "plain"},
		{"RE-05", "application/ndjson", "", []string{"Accept: application/ndjson"}, "plain"},
		{"RE-05", "application/x-ndjson", "", []string{"Accept: application/x-ndjson"}, "plain"},
		{"RE-05", "browser", "", []string{"Accept: text/html, application/xml;q=0.9, */*;q=0.8"}, "plain"},
		{"RE-04", "FHIR JSON", "", []string{"Accept: application/fhir+json"}, "Binary"},
		{"RE-04", "FHIR JSON with parameters", "", []string{"Accept: application/FHIR+JSON; fhirVersion=4.0"}, "Binary"},
		{"RE-05", "both, tie", "", []string{"Accept: application/fhir+json, application/fhir+ndjson"}, "plain"},
		{"RE-05", "both, JSON preferred", "", []string{"Accept: application/fhir+ndjson;q=0.5, application/fhir+json;q=0.9"}, "Binary"},
		{"RE-05", "both over two headers", "", []string{"Accept: application/fhir+ndjson;q=0.9", "Accept: application/fhir+json;q=0.5"}, "plain"},
		{"RE-05", "NDJSON ruled out", "", []string{"Accept: */*, application/fhir+ndjson;q=0, application/ndjson;q=0, application/x-ndjson;q=0, ndjson;q=0"}, "Binary"},
		{"FM-04", "_format", "?_format=json", []string{"Accept: application/fhir+ndjson"}, "Binary"},
		{"FM-04", "_format NDJSON", "?_format=application/fhir+ndjson", []string{"Accept: application/fhir+json"}, "plain"},
		{"RE-05", "NDJSON ruled out, any application", "", []string{"Accept: application/*, application/fhir+ndjson;q=0"}, "Binary"},
		{"RE-05", "NDJSON ruled out, its other name not", "", []string{"Accept: application/ndjson, application/fhir+ndjson;q=0"}, ""},
		{"RE-05", "another name ruled out", "", []string{"Accept: */*, application/ndjson;q=0"}, "plain"},
		{"RE-05", "another name is more welcome", "", []string{"Accept: application/ndjson, application/fhir+ndjson;q=0.2, application/fhir+json;q=0.5"}, "plain"},
		{"RE-05", "any other name is not another chance", "", []string{"Accept: application/*, application/fhir+ndjson;q=0.2, application/fhir+json;q=0.5"}, "Binary"},
		{"RE-05", "all ruled out but any", "", []string{"Accept: */*, application/fhir+ndjson;q=0, application/fhir+json;q=0"}, ""},
		{"RE-05", "plain JSON", "", []string{"Accept: application/json"}, ""},
		{"RE-05", "XML", "", []string{"Accept: application/xml"}, ""},
		{"FM-04", "_format XML", "?_format=xml", nil, ""},
		{"RE-11", "gzip", "", []string{"Accept-Encoding: gzip"}, "gzip"},
		{"RE-11", "gzip among others", "", []string{"Accept-Encoding: br, gzip;q=0.5, deflate"}, "gzip"},
		{"RE-11", "gzip, upper case", "", []string{"Accept-Encoding: GZIP"}, "gzip"},
		{"RE-11", "gzip ruled out", "", []string{"Accept-Encoding: gzip;q=0, *"}, "plain"},
		{"RE-11", "gzip ruled out, its other name not", "", []string{"Accept-Encoding: x-gzip, gzip;q=0"}, "plain"},
		{"RE-11", "the other name of gzip", "", []string{"Accept-Encoding: x-gzip"}, "gzip"},
		{"RE-11", "identity preferred", "", []string{"Accept-Encoding: gzip;q=0.5, identity"}, "plain"},
		{"RE-11", "identity less welcome", "", []string{"Accept-Encoding: identity;q=0.5, gzip;q=0.8"}, "gzip"},
		{"RE-11", "others only", "", []string{"Accept-Encoding: br"}, "plain"},
		{"RE-11 RE-04", "gzip does not change the Binary", "", []string{"Accept: application/fhir+json", "Accept-Encoding: gzip"}, "Binary"},
	} {
		t.Run(c.req+" "+c.name, func(t *testing.T) {
			for _, method := range []string{"GET", "POST"} {
				t.Attr("requirements", "RE-01 RE-02 RE-06 RE-07")
				r := u.request(method, filePath+c.query, "", c.headers...)
				if c.want == "" {
					u.wantStatus(r, 406, fhir.CodeNotSupported)
					continue
				}
				u.wantStatus(r, 200, "")
				if form, got := readForm(t, r); form != c.want || got != text {
					t.Errorf("%s: form %s with %d bytes, want %s with %d", method, form, len(got), c.want, len(text))
				}
				wantType := fhirNDJSON
				if c.want == "Binary" {
					wantType = fhirJSON
				}
				for name, want := range map[string]string{
					"Content-Type":        wantType,
					"Content-Location":    base + "/Binary/" + knownFile + "/_history/1",
					"Content-Disposition": "Attachment;",
					"Vary":                "Accept, Accept-Encoding",
				} {
					if got := r.Header.Get(name); got != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				head := u.request("HEAD", filePath+c.query, "", c.headers...)
				if head.StatusCode != 200 || len(head.body) != 0 || head.ContentLength != int64(len(r.body)) || head.Header.Get("ETag") != r.Header.Get("ETag") {
					t.Errorf("HEAD: %d, length %d, ETag %q; GET has %d, %q", head.StatusCode, head.ContentLength, head.Header.Get("ETag"), len(r.body), r.Header.Get("ETag"))
				}
			}
		})
	}
}

func TestBinaryPadding(t *testing.T) {
	t.Attr("requirements", "RE-04")
	for n := range 5 {
		text := "{" + strings.Repeat(" ", n) + "}\n"
		u := startWithFile(t, text)
		if _, got := readForm(t, u.request("GET", filePath, "", "Accept: application/fhir+json")); got != text {
			t.Errorf("%q came back as %q", text, got)
		}
	}
}

func TestFileRanges(t *testing.T) {
	t.Attr("requirements", "RE-15")
	text := ndjsonOfSize(threeFragments)
	u := startWithFile(t, text)
	plain := u.request("GET", filePath, "")
	packed := u.request("GET", filePath, "", "Accept-Encoding: gzip")
	plainTag, packedTag := plain.Header.Get("ETag"), packed.Header.Get("ETag")
	if plainTag == packedTag || !strings.HasPrefix(plainTag, `"`) || !strings.HasPrefix(packedTag, `"`) {
		t.Fatalf("tags %s and %s must be strong and differ", plainTag, packedTag)
	}
	if plain.Header.Get("Accept-Ranges") != "bytes" {
		t.Error("ranges are not announced")
	}
	at := len(text) - 1000
	for _, c := range []struct {
		name    string
		headers []string
		status  int
		want    string
	}{
		{"end", []string{fmt.Sprintf("Range: bytes=%d-", at)}, 206, text[at:]},
		{"suffix", []string{"Range: bytes=-7"}, 206, text[len(text)-7:]},
		{"middle", []string{"Range: bytes=1048570-2097200"}, 206, text[1048570:2097201]},
		{"gzip", []string{"Accept-Encoding: gzip", "Range: bytes=100-199"}, 206, string(packed.body[100:200])},
		{"resumed", []string{"Range: bytes=100-", "If-Range: " + plainTag}, 206, text[100:]},
		{"resumed in the other form", []string{"Range: bytes=100-", "If-Range: " + packedTag}, 200, text},
		{"resumed gzip", []string{"Accept-Encoding: gzip", "Range: bytes=100-", "If-Range: " + packedTag}, 206, string(packed.body[100:])},
		{"resumed gzip in the other form", []string{"Accept-Encoding: gzip", "Range: bytes=100-", "If-Range: " + plainTag}, 200, string(packed.body)},
		{"other unit", []string{"Range: lines=1-2"}, 200, text},
		{"too many", []string{"Range: bytes=" + strings.Repeat("1-2,", maxRanges) + "1-2"}, 200, text},
		{"behind the end", []string{fmt.Sprintf("Range: bytes=%d-", len(text))}, 416, ""},
		{"the last zero bytes", []string{"Range: bytes=-0"}, 416, ""},
		{"the last zero bytes, gzip", []string{"Accept-Encoding: gzip", "Range: bytes= -00 "}, 416, ""},
		{"the last zero bytes and others", []string{"Range: bytes=-0, 0-8"}, 206, text[:9]},
		{"to far behind the end", []string{"Range: bytes=1-99999999999999999999999"}, 206, text[1:]},
		{"to behind the end", []string{fmt.Sprintf("Range: bytes=1-%d", len(text))}, 206, text[1:]},
		{"more than there is", []string{"Range: bytes=-99999999999999999999999"}, 206, text},
		{"far behind the end", []string{"Range: bytes=99999999999999999999999-"}, 416, ""},
		{"nonsense", []string{"Range: bytes=9-1"}, 416, ""},
		{"far nonsense", []string{"Range: bytes=--99999999999999999999999"}, 416, ""},
		{"If-Match fails", []string{`If-Match: "other"`}, 412, ""},
		{"If-Match holds", []string{"If-Match: " + plainTag}, 200, text},
		{"Binary has no ranges", []string{"Accept: application/fhir+json", "Range: bytes=0-3"}, 200, "binary"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, method := range []string{"GET", "POST"} {
				r := u.request(method, filePath, "", c.headers...)
				switch c.status {
				case 416:
					u.wantStatus(r, 416, fhir.CodeInvalid)
					if got := r.Header.Get("Content-Range"); !strings.Contains(c.name, "nonsense") && !strings.Contains(c.name, "gzip") && got != fmt.Sprintf("bytes */%d", len(text)) {
						t.Errorf("Content-Range: %q", got)
					}
					continue
				case 412:
					u.wantStatus(r, 412, fhir.CodeConflict)
					continue
				}
				u.wantStatus(r, c.status, "")
				if c.want == "binary" {
					if form, got := readForm(t, r); form != "Binary" || got != text {
						t.Errorf("form %s, %d bytes", form, len(got))
					}
					continue
				}
				if string(r.body) != c.want {
					t.Errorf("%s: %d bytes, want %d", method, len(r.body), len(c.want))
				}
				if r.ContentLength != int64(len(c.want)) {
					t.Errorf("%s: Content-Length %d, want %d", method, r.ContentLength, len(c.want))
				}
			}
		})
	}
	t.Run("several", func(t *testing.T) {
		r := u.request("GET", filePath, "", "Range: bytes=0-9,2000000-2000009")
		u.wantStatus(r, 206, "")
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		parts := multipart.NewReader(bytes.NewReader(r.body), params["boundary"])
		for _, want := range []string{text[:10], text[2000000:2000010]} {
			p, err := parts.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(p); string(got) != want || err != nil {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		}
	})
	t.Run("errors do not have the headers of the file", func(t *testing.T) {
		for _, header := range []string{"Range: bytes=99999999-", `If-Match: "other"`} {
			r := u.request("GET", filePath, "", "Accept-Encoding: gzip", header)
			for _, name := range []string{"ETag", "Content-Encoding", "Content-Disposition", "Content-Location", "Accept-Ranges"} {
				if got := r.Header.Get(name); got != "" {
					t.Errorf("%s: %s: %q", header, name, got)
				}
			}
		}
	})
}

func TestRejectedFiles(t *testing.T) {
	u := startWithFile(t, "{}\n")
	t.Attr("requirements", "RE-09 RE-10")
	for _, path := range []string{"unknown", "f2b1a7a0-52c1-4d65-8e9e-0d3a8f5a9999", "%2e%2e", "a%2Fb"} {
		u.wantStatus(u.request("GET", "/api/v1/fhir/Binary/"+path, ""), 404, fhir.CodeNotFound)
	}
	u.wantStatus(u.request("GET", filePath+"/_history/1", ""), 404, fhir.CodeNotSupported)
	u = startWithFile(t, "{}\n", func(c *Config) { c.PostDownload = false })
	r := u.request("POST", filePath, "")
	u.wantStatus(r, 405, fhir.CodeNotSupported)
	if got := r.Header.Get("Allow"); got != "GET, HEAD" {
		t.Errorf("Allow: %q", got)
	}
	u.wantStatus(u.request("GET", filePath, ""), 200, "")
}

// TestDamagedFile checks that a damaged file is never served as if it were complete.
// Damage that is detected before the first byte is an error response; later damage makes
// the response shorter than announced. Both are logged.
func TestDamagedFile(t *testing.T) {
	text := ndjsonOfSize(threeFragments)
	for _, header := range []string{"Accept: application/fhir+ndjson", "Accept: application/fhir+json"} {
		t.Run(header, func(t *testing.T) {
			u := startServer(t)
			u.fake.file = alteredFile(t, text, func(stream []byte) []byte { clear(stream[len(stream)/2:]); return stream })
			r := u.request("GET", filePath, "", header)
			if r.err == nil {
				t.Errorf("%d bytes came without an error", len(r.body))
			}
			u.Close()
			if log := u.log.String(); !strings.Contains(log, "download aborted") || !strings.Contains(log, "fragment") {
				t.Errorf("the log lacks the cause: %s", log)
			}
		})
	}
	for _, header := range []string{"Accept: application/fhir+ndjson", "Accept: application/fhir+json", "Accept-Encoding: gzip"} {
		t.Run("cut, "+header, func(t *testing.T) {
			u := startServer(t)
			u.fake.file = alteredFile(t, text, func(stream []byte) []byte { return stream[:len(stream)/2] })
			u.wantStatus(u.request("GET", filePath, "", header), 500, fhir.CodeException)
			if log := u.log.String(); !strings.Contains(log, "bytes on disk") {
				t.Errorf("the log lacks the cause: %s", log)
			}
		})
	}
	for name, headers := range map[string][]string{
		"identity": nil, "gzip": {"Accept-Encoding: gzip"}, "resource": {"Accept: application/fhir+json"},
		"range of identity": {"Range: bytes=2000000-2000010"}, "range of gzip": {"Accept-Encoding: gzip", "Range: bytes=%d-%d"},
	} {
		t.Run("one bit, "+name, func(t *testing.T) {
			counts := &countingObserver{}
			u := startServer(t, func(c *Config) { c.Observer = counts })
			var whole []byte
			right := storedFile(t, text)
			middle := 0
			u.fake.file = right
			for n, h := range headers {
				if strings.Contains(h, "%d") {
					middle = len(u.request("GET", filePath, "", "Accept-Encoding: gzip").body) / 2
					headers[n] = fmt.Sprintf(h, middle+1000, middle+1010)
				}
			}
			whole = u.request("GET", filePath, "", headers...).body
			u.fake.file = alteredFile(t, text, func(stream []byte) []byte { stream[len(stream)/2] ^= 8; return stream })
			r := u.request("GET", filePath, "", headers...)
			if r.err == nil && r.StatusCode < 300 {
				t.Errorf("%d: %d of %d bytes came without an error", r.StatusCode, len(r.body), len(whole))
			}
			if r.StatusCode < 300 && !bytes.HasPrefix(whole, r.body) {
				t.Errorf("wrong bytes were sent: %d bytes are not the beginning of the file", len(r.body))
			}
			u.Close()
			if len(counts.damaged) != 1 || counts.damaged[0] != damage.File {
				t.Errorf("the observer saw %v", counts.damaged)
			}
		})
	}
	t.Run("index", func(t *testing.T) {
		u := startServer(t)
		open := storedFile(t, text)
		u.fake.file = func() (*export.File, error) {
			f, err := open()
			if err == nil {
				f.Part.Stored.Index = []byte{9}
			}
			return f, err
		}
		u.wantStatus(u.request("GET", filePath, ""), 500, fhir.CodeException)
	})
}

// storedFile writes a part of the lines in text, and returns a function that opens it.
func storedFile(t *testing.T, text string) func() (*export.File, error) {
	t.Helper()
	return alteredFile(t, text, func(stream []byte) []byte { return stream })
}

// alteredFile is storedFile with a stream that alter has changed.
func alteredFile(t testing.TB, text string, alter func([]byte) []byte) func() (*export.File, error) {
	t.Helper()
	var stream bytes.Buffer
	w := part.NewWriter(&stream)
	for line := range strings.Lines(text) {
		if err := w.WriteLine([]byte(strings.TrimSuffix(line, "\n"))); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "part.gz")
	stored := alter(stream.Bytes())
	if err := os.WriteFile(name, stored, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() (*export.File, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		return &export.File{
			Part: store.Part{File: knownFile, Stored: store.Stored{Count: sum.Count, Bytes: sum.Bytes, GzipBytes: sum.GzipBytes, SHA256: sum.SHA256, Index: sum.Index}},
			Blob: sizedFile{f, int64(len(stored))},
		}, nil
	}
}

// sizedFile is a file that implements [blob.Reader].
type sizedFile struct {
	*os.File
	size int64
}

func (f sizedFile) Size() int64 { return f.size }

var _ blob.Reader = sizedFile{}
