package fhir_test

import (
	"fmt"
	"time"

	"muster/internal/fhir"
)

func ExampleParseInstant() {
	instant, err := fhir.ParseInstant("2026-03-01T09:30:00.1234+11:00")
	fmt.Println(instant, err)
	_, err = fhir.ParseInstant("2026-03-01")
	fmt.Println(err)
	// Output:
	// 2026-02-28T22:30:00.123Z <nil>
	// "2026-03-01" is not an instant: write date, time and zone, such as 2026-03-01T09:30:00+11:00
}

func ExampleParseDate() {
	period, err := fhir.ParseDate("2026-03", time.UTC)
	fmt.Println(period.From, period.To, err)
	// Output: 2026-03-01T00:00:00.000Z 2026-04-01T00:00:00.000Z <nil>
}
