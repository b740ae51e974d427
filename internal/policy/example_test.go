package policy_test

import (
	"fmt"

	"muster/internal/conformance"
	"muster/internal/fhir"
	"muster/internal/policy"
	"muster/internal/search/bound"
	"muster/internal/search/query"

	"github.com/valyala/fastjson"
)

// A load removes what a directory may not hold, and reads the state of the resource.
func ExampleStrip() {
	v := fastjson.MustParse(`{"resourceType":"Practitioner","id":"p1","active":false,"gender":"female","name":[{"family":"Lee"}]}`)
	stripped := policy.Strip(fhir.Practitioner, v)
	fmt.Println(v)
	fmt.Println("private:", stripped.Private)
	fmt.Println("readable:", policy.Readable(policy.OwnState(fhir.Practitioner, v)))
	// Output:
	// {"resourceType":"Practitioner","id":"p1","active":false,"name":[{"family":"Lee"}]}
	// private: true
	// readable: false
}

// A filter is checked, and then completed with the visibility of its export.
func ExampleCheckFilter() {
	registry, err := conformance.Load()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, text := range []string{"Organization?name=clinic&active=false", "Practitioner?gender=female"} {
		q, err := query.Parse(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		allowed, refused := policy.CheckFilter(bound.Bind(registry, q), policy.FilterRules{}, policy.FullAccess())
		if err := refused.Err(); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(policy.ForSearch(allowed, fhir.AllTypes()).Visibility)
	}
	// Output:
	// finds unsuppressed resources; follows references over active and unsuppressed resources
	// "gender" at character 14 is refused on Practitioner for privacy: use rsg (recorded sex or gender)
}
