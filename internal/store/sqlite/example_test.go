package sqlite_test

import (
	"context"
	"crypto/md5"
	"fmt"
	"os"
	"time"

	"muster/internal/fhir"
	"muster/internal/search/plan"
	"muster/internal/store"
	"muster/internal/store/sqlite"
)

// An export reads the versions that were current at its transaction time, although a load
// has written newer versions in the meantime.
func ExampleStore() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "muster-example")
	check(err)
	defer os.RemoveAll(dir)
	now := time.Date(2026, time.March, 1, 9, 0, 0, 0, time.UTC)
	s, err := sqlite.Open(ctx, dir, store.Options{
		Now:    func() time.Time { return now },
		Create: &store.Identity{BaseURL: "https://example.org/fhir", Mode: "authoritative"},
	})
	check(err)
	defer s.Close()

	// Write two resources.
	_, err = s.Apply(ctx, []store.Change{location("hobart", "Hobart Clinic"), location("perth", "Perth Clinic")})
	check(err)

	// Start an export: store a job, claim it, and pin it to the time of a snapshot.
	at := fhir.InstantOf(now)
	check(s.CreateJob(ctx, store.Job{ID: "export", Owner: "client", Request: []byte("{}"), Created: at}, 0))
	task, err := s.Claim(ctx, "worker", at, 60_000, store.Bounds{})
	check(err)
	snap, err := s.OpenSnapshot(ctx, func(ctx context.Context, t fhir.Instant) error { return s.BeginSelecting(ctx, task, t, at) })
	check(err)
	var selection []store.RowKey
	check(snap.Select(ctx, plan.Plan{Type: fhir.Location, Root: plan.And{}}, func(key store.RowKey, _ int64) error {
		selection = append(selection, key)
		return nil
	}))
	check(snap.Close())

	// A load updates one of the resources.
	now = now.Add(time.Minute)
	outcomes, err := s.Apply(ctx, []store.Change{location("hobart", "Hobart Hospital")})
	check(err)
	fmt.Println("updated:", outcomes[0] == store.Updated)

	// The export reads the version of its transaction time.
	check(s.ReadAsOf(ctx, selection, snap.Time(), func(_ store.RowKey, line []byte) error {
		fmt.Println(string(line))
		return nil
	}))

	// Output:
	// updated: true
	// {"resourceType":"Location","id":"hobart","meta":{"versionId":"1","lastUpdated":"2026-03-01T09:00:00.000Z"},"name":"Hobart Clinic"}
	// {"resourceType":"Location","id":"perth","meta":{"versionId":"1","lastUpdated":"2026-03-01T09:00:00.000Z"},"name":"Perth Clinic"}
}

func location(id, name string) store.Change {
	return store.Change{
		Type: fhir.Location, ID: id, SourceHash: md5.Sum([]byte(name)),
		Document: store.Document{
			Head: []byte(`{"resourceType":"Location","id":"` + id + `","meta":{`),
			Tail: []byte(`},"name":"` + name + `"}`),
		},
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
