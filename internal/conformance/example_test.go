package conformance_test

import (
	"fmt"

	"muster/internal/conformance"
	"muster/internal/fhir"
)

func ExampleRegistry_Param() {
	registry, err := conformance.Load()
	if err != nil {
		fmt.Println(err)
		return
	}
	p, ok := registry.Param(fhir.HealthcareService, "type") // an alias
	fmt.Println(p.Code, p.Type, p.Modifiers, ok)
	_, ok = registry.Param(fhir.HealthcareService, "wibble")
	fmt.Println(ok)
	// Output:
	// service-type token [missing not] true
	// false
}
