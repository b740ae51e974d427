package searchtest_test

import (
	"fmt"
	"time"

	"muster/internal/search/query"
	"muster/internal/searchtest"
)

func ExampleDirectory_Find() {
	d := searchtest.NewDirectory("https://directory.example/fhir", searchtest.NewZone(time.UTC))
	for _, line := range []string{
		`{"resourceType":"Location","id":"balmain","name":"Balmain Clinic","address":{"city":"Balmain"}}`,
		`{"resourceType":"Location","id":"perth","name":"Perth Clinic","address":{"city":"Perth"}}`,
		`{"resourceType":"HealthcareService","id":"x-ray","location":[{"reference":"Location/balmain"}]}`,
	} {
		if err := d.Add([]byte(line), 1); err != nil {
			fmt.Println(err)
			return
		}
	}
	for _, text := range []string{
		"Location?name=balmain",
		"HealthcareService?location.address-city=Balmain",
		"HealthcareService?location:above=a",
	} {
		q, err := query.Parse(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		answer, err := d.Find(q)
		fmt.Println(answer.IDs, err)
	}
	// Output:
	// [balmain] <nil>
	// [x-ray] <nil>
	// [] location does not support :above
}
