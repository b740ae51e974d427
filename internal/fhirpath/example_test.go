package fhirpath_test

import (
	"fmt"

	"muster/internal/fhirpath"

	"github.com/valyala/fastjson"
)

func ExampleCompile() {
	email, err := fhirpath.Compile("Practitioner.telecom.where(system = 'email').value")
	if err != nil {
		fmt.Println(err)
		return
	}
	practitioner := fastjson.MustParse(`{
		"resourceType": "Practitioner",
		"telecom": [{"system": "phone", "value": "02 5550 0100"}, {"system": "email", "value": "a@example.org"}]
	}`)
	for _, v := range email.Append(nil, practitioner) {
		fmt.Println(v)
	}
	_, err = fhirpath.Compile("name.first()")
	fmt.Println(err)
	// Output:
	// "a@example.org"
	// expression "name.first()" at character 6: the function first() is not supported: use where, exists, not, extension, ofType, as or resolve
}
