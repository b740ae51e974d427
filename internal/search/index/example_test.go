package index_test

import (
	"fmt"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/search/index"

	"github.com/valyala/fastjson"
)

// The worked example of the package comment.
func ExampleExtractor_Extract() {
	reg, err := conformance.Load()
	if err != nil {
		fmt.Println(err)
		return
	}
	extractor, err := index.NewExtractor(reg, "http://localhost:8080/fhir")
	if err != nil {
		fmt.Println(err)
		return
	}
	role := fastjson.MustParse(`{"resourceType":"PractitionerRole","id":"r1",
		"identifier":[{"system":"http://x/prn","value":"A1"}],
		"practitioner":{"reference":"Practitioner/p1"}}`)
	for _, e := range extractor.Extract(nil, fhir.PractitionerRole, role) {
		fmt.Printf("kind %d, parameter %d: %q %q\n", e.Kind, e.Param, e.System, e.Code)
	}
	// Output:
	// kind 1, parameter 47: "" "true"
	// kind 1, parameter 152: "" "absent"
	// kind 1, parameter 43: "http://x/prn" "A1"
	// kind 4, parameter 46: "Practitioner" "p1"
	// kind 1, parameter 48: "" "false"
}
