package audit_test

import (
	"fmt"

	"muster/internal/audit"
)

// The query of an event has no values of parameters that can hold a secret.
func ExampleQuery() {
	fmt.Println(audit.Query("family=Smith&access_token=eyJhbGciOi"))
	// Output: family=Smith&access_token=…
}
