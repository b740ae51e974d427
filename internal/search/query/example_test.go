package query_test

import (
	"fmt"

	"muster/internal/search/query"
)

func ExampleParse() {
	q, err := query.Parse("PractitionerRole?location.address-city=Balmain,Rozelle&active=true")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range q.Params {
		fmt.Println(p, "is", q.Place(p.Where()))
	}
	_, err = query.Parse("PractitionerRole?active")
	fmt.Println(err)
	// Output:
	// location.address-city=Balmain,Rozelle is "location.address-city=Balmain,Rozelle" at character 18
	// active=true is "active=true" at character 56
	// "active" at character 18 has no '=': write name=value; an & within a value is written %26
}
