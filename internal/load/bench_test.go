package load

import (
	"testing"
)

// BenchmarkPrepare prepares the public test data, in bytes of source per second.
func BenchmarkPrepare(b *testing.B) {
	inputs, err := Inputs([]string{"../../../shared/data/au-fhir-test-data.ndjson.gz"}, nil)
	if err != nil {
		b.Skip("the data au-fhir-test-data.ndjson.gz is not beside the project")
	}
	all := newBatch()
	s := &inputReader{emit: func(one piece) error {
		all.add(one)
		return nil
	}}
	if err := s.readInput(b.Context(), inputs[0]); err != nil {
		b.Fatal(err)
	}
	p := newPreparer(b)
	b.SetBytes(int64(len(all.text)) / int64(len(all.items)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		i := all.items[n%len(all.items)]
		if v, r := p.parse(all.text[i.from:i.to]); r == nil {
			_, _ = p.prepare(v)
		}
		n++
	}
}
