package fhirpath

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestPublishedExpressions compiles every search parameter expression that FHIR R4
// publishes for the types of a directory. The definitions are not part of the repository.
func TestPublishedExpressions(t *testing.T) {
	text, err := os.ReadFile("../../../shared/data/r4-searchparams-7types.json")
	if err != nil {
		t.Skip("the published search parameters are not there: put r4-searchparams-7types.json into ../shared/data beside the project")
	}
	var published struct {
		SearchParameters []struct{ Code, Expression string } `json:"searchParameters"`
	}
	if err := json.Unmarshal(text, &published); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, p := range published.SearchParameters {
		if p.Expression == "" {
			continue
		}
		count++
		if _, err := Compile(p.Expression); err != nil {
			t.Errorf("%s: %v", p.Code, err)
		}
	}
	if count < 60 {
		t.Errorf("only %d expressions were there to compile", count)
	}
}

// FuzzLexQuoted checks that any text can be written as a literal and is equal to itself.
func FuzzLexQuoted(f *testing.F) {
	f.Add("it's")
	f.Add(`a\b"c/`)
	f.Add("http://x/é")
	f.Fuzz(func(t *testing.T, value string) {
		escaped := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value)
		tokens, err := lex("'" + escaped + "'")
		if err != nil || len(tokens) != 2 || tokens[0].text != value {
			t.Fatalf("%q as a literal gives %v, %v", value, tokens, err)
		}
	})
}
