package load

import (
	"testing"
)

// BenchmarkPrepare prepares the public test data and reports bytes of source per second.
func BenchmarkPrepare(b *testing.B) {
	inputs, _, err := Inputs([]string{"../../../shared/data/au-fhir-test-data.ndjson.gz"}, nil)
	if err != nil {
		b.Skip("the data au-fhir-test-data.ndjson.gz is not beside the project")
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
			_, _ = p.prepare(v, nil)
		}
		n++
	}
}
