package load

import (
	"fmt"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// NewExtractFunc returns the function that reindexes stored resources. It returns the index
// entries of a stored line. If the line has elements that a directory may not hold, names of
// version 0.3.0 of the guide, or a suppression that an older program did not recognise, it also
// returns the change to the version that a load would write today. The function serves one goroutine.
func NewExtractFunc(extractor *index.Extractor) (store.ExtractFunc, error) {
	table, err := readRules()
	if err != nil {
		return nil, err
	}
	var parser fastjson.Parser
	var arena fastjson.Arena
	w := writer{extractor: extractor}
	return func(dst []index.Entry, t fhir.Type, line []byte) ([]index.Entry, *store.Change, error) {
		v, err := parser.ParseBytes(line)
		if err != nil {
			return dst, nil, fmt.Errorf("the stored line is damaged: load the resource again: %w", err)
		}
		arena.Reset()
		before := policy.OwnState(t, v)
		stripped := policy.Strip(t, v)
		renamed := policy.ConformNames(&arena, v)
		policy.ConformSuppression(&arena, t, v, stripped.Suppressions, table.shapes.extension)
		if !stripped.Any() && !renamed && policy.OwnState(t, v) == before {
			return extractor.Extract(dst, t, v), nil, nil
		}
		id := string(v.GetStringBytes("id"))
		dropVersion(v)
		change, refusal := w.write(t, id, v)
		if refusal != nil {
			return dst, nil, refusal
		}
		return append(dst, change.Entries...), &change, nil
	}, nil
}
