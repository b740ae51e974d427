package search_test

import (
	"fmt"
	"time"

	"muster/internal/conformance"
	"muster/internal/policy"
	"muster/internal/search"
)

// An export compiles each _typeFilter into the plan of what the export holds.
func ExampleCompiler_ExportFilter() {
	registry, err := conformance.Load()
	if err != nil {
		fmt.Println(err)
		return
	}
	compiler := search.New(registry, "https://directory.example/fhir", time.UTC)
	export := search.Export{May: policy.FullAccess()}

	filter, err := compiler.ExportFilter("PractitionerRole?location.address-city=Balmain", export)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(filter.Plan)

	_, err = compiler.ExportFilter("PractitionerRole?practitioner.gender=female", export)
	fmt.Println(err)
	// Output:
	// PractitionerRole
	//   and
	//     link 44 to a Location with
	//       and
	//         string 12 starts "balmain"
	//         visible active not-suppressed
	//     visible active not-suppressed
	// "gender" at character 31 is refused on Practitioner for privacy: use rsg (recorded sex or gender)
}
