package load

import (
	"fmt"

	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/index"
	"muster/internal/store"

	"github.com/valyala/fastjson"
)

// NewRemake returns how stored resources are reindexed: what they are found by, and
// where a line holds what a directory may not hold, or is suppressed in a way that an
// older program has not seen, the change to a version as a load would write it today.
// The function serves one goroutine.
func NewRemake(extractor Extractor) (store.ExtractFunc, error) {
	table, err := readShapes(shapeText)
	if err != nil {
		return nil, err
	}
	var parser fastjson.Parser
	var arena fastjson.Arena
	w := writer{extractor: extractor}
	return func(dst []index.Entry, t fhir.Type, line []byte) ([]index.Entry, *store.Change, error) {
		v, err := parser.ParseBytes(line)
		if err != nil {
			return dst, nil, fmt.Errorf("its stored line is damaged: load it again: %w", err)
		}
		arena.Reset()
		before := policy.OwnState(t, v)
		stripped := policy.Strip(t, v)
		policy.ConformSuppression(&arena, t, v, stripped.Suppressions, table.extension)
		if !stripped.Any() && policy.OwnState(t, v) == before {
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
