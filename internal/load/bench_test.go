package load

import (
	"path/filepath"
	"testing"
)

// BenchmarkPrepare prepares the public test data, most of which breaks rules of the profiles,
// and reports bytes of source per second.
func BenchmarkPrepare(b *testing.B) {
	benchmarkFile(b, filepath.Join("..", "..", "..", "shared", "data", "au-fhir-test-data.ndjson.gz"))
}

// BenchmarkPrepareConforming prepares resources that conform to the profiles of the guide.
func BenchmarkPrepareConforming(b *testing.B) {
	benchmarkFile(b, filepath.Join("testdata", "conforming.ndjson"))
}

func benchmarkFile(b *testing.B, path string) {
	b.Helper()
	inputs, _, err := Inputs([]string{path}, nil)
	if err != nil {
		b.Skipf("the data %s is not beside the project", filepath.Base(path))
	}
	all := newBatch()
	reader := &inputReader{emit: func(one piece) error {
		all.add(one)
		return nil
	}}
	if err := reader.readInput(b.Context(), inputs[0]); err != nil {
		b.Fatal(err)
	}
	p := newPreparer(b)
	b.SetBytes(int64(len(all.text)) / int64(len(all.items)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		i := all.items[n%len(all.items)]
		if v, r := p.parse(all.text[i.start:i.end]); r == nil {
			_, _ = p.prepare(b.Context(), v, nil)
		}
		n++
	}
}
