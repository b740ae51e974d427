package synth_test

import (
	"context"
	"fmt"
	"os"

	"muster/internal/synth"
)

func ExampleGenerate() {
	dir, err := os.MkdirTemp("", "directory")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	manifest, err := synth.Generate(context.Background(), dir, synth.Options{Scale: synth.MinScale, Seed: 42})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range manifest.Files {
		fmt.Println(f.Path, f.Count)
	}
	// Output:
	// Organization.ndjson 30
	// Location.ndjson 52
	// Endpoint.ndjson 22
	// HealthcareService.ndjson 84
	// Practitioner.ndjson 204
	// PractitionerRole.ndjson 380
	// Provenance.ndjson 240
	// truth/d000/visible.ids 824
}
