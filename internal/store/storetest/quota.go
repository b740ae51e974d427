package storetest

import (
	"errors"
	"testing"

	"muster/internal/client"
	"muster/internal/fhir"
	"muster/internal/store"
)

// mebi is the unit of the sizes of the tests of quotas.
const mebi = 1 << 20

// complete creates a complete job of a client, with two files of one resource each.
func (b jobsTest) complete(id string, from client.Client, stored int64, until fhir.Instant) {
	b.Helper()
	b.plan(id, from, noon, stored*store.Compression/2)
	for range 2 {
		task := b.mustClaim("w", noon)
		_, err := b.FinishPart(b.Context(), task, object(task), store.Stored{Count: 1, Bytes: task.Part.Bytes, GzipBytes: stored / 2}, noon, until)
		b.must(err)
	}
	b.state(id, store.Complete)
}

// plan creates a job of a client that begins to write two files of a planned size at a time.
func (b jobsTest) plan(id string, from client.Client, at fhir.Instant, bytes int64) store.Job {
	b.Helper()
	b.must(b.CreateJob(b.Context(), store.Job{ID: id, Owner: "anna", Client: from, Request: []byte("{}"), Created: noon}, 0))
	task := b.mustClaim("selector", noon)
	b.must(b.BeginSelecting(b.Context(), task, noon, noon))
	selections, parts := cutSelection(id, []int64{1, 1})
	for n := range parts {
		parts[n].Bytes = bytes
	}
	b.must(b.StoreSelection(b.Context(), task, selections, parts, at, expires))
	return b.state(id, store.Writing)
}

// room checks how much of a quota is used, from the error of a job that has not started.
func (b jobsTest) room(from client.Client, q store.Quota, now fhir.Instant, want *store.OverQuota) {
	b.Helper()
	b.roomOf(store.Job{ID: "new", Client: from, Created: now}, q, now, want)
}

func (b jobsTest) roomOf(job store.Job, q store.Quota, now fhir.Instant, want *store.OverQuota) {
	b.Helper()
	err := b.CheckQuota(b.Context(), job, q, now)
	var got *store.OverQuota
	switch {
	case errors.As(err, &got) && want != nil:
		if *got != *want {
			b.Errorf("over quota: %+v, want %+v", *got, *want)
		}
	case err != nil || want != nil:
		b.Errorf("quota %+v: %v, want %+v", q, err, want)
	}
}

// testQuota checks which complete jobs count for a client: all until they expire or are deleted,
// and each of them something.
func testQuota(t *testing.T, b jobsTest) {
	network := "network 2001:db8:1::/48"
	one, two := client.Client{Name: "one", Wider: network}, client.Client{Name: "two", Wider: network}
	b.complete("first", one, 6*mebi, expires)
	b.complete("second", one, 4*mebi, expires+5)
	b.complete("empty", one, 0, expires+9)
	const used = 11 * mebi
	b.room(one, store.Quota{Client: used + 1}, noon, nil)
	b.room(one, store.Quota{}, noon, nil)
	b.room(one, store.Quota{Client: used}, noon, &store.OverQuota{Used: used, Limit: used, Frees: expires})
	b.room(client.Client{}, store.Quota{Client: 1}, noon, nil)
	b.room(client.Client{Name: "other"}, store.Quota{Client: 1}, noon, nil)
	// Four times as much for the network of a client.
	b.room(two, store.Quota{Client: used/4 + 1}, noon, nil)
	b.room(two, store.Quota{Client: used / 4}, noon, &store.OverQuota{Used: used, Limit: used / 4 * 4, Frees: expires})
	// What has expired does not count, even before the janitor has run.
	b.room(one, store.Quota{Client: 5 * mebi}, expires, &store.OverQuota{Used: 5 * mebi, Limit: 5 * mebi, Frees: expires + 5})
	b.must(b.Cancel(t.Context(), "second", "anna", noon, expires))
	b.room(one, store.Quota{Client: 7*mebi + 1}, noon, nil)
	b.must(b.Cancel(t.Context(), "first", "anna", noon, expires))
	b.room(one, store.Quota{Client: mebi + 1}, noon, nil)
}

// testQuotaPlanned checks that jobs count as soon as their size is known, with what is planned
// or written, and that of two that do not fit together the first one does.
func testQuotaPlanned(t *testing.T, b jobsTest) {
	from := client.Client{Name: "one"}
	first := b.plan("first", from, noon, 10*mebi*store.Compression)
	b.room(from, store.Quota{Client: 20 * mebi}, noon, &store.OverQuota{Used: 20 * mebi, Limit: 20 * mebi})
	task := b.mustClaim("w", noon)
	_, err := b.FinishPart(t.Context(), task, object(task), store.Stored{Count: 1, Bytes: task.Part.Bytes, GzipBytes: 3 * mebi}, noon, expires)
	b.must(err)
	const used = 13 * mebi
	b.room(from, store.Quota{Client: used + 1}, noon, nil)
	b.roomOf(first, store.Quota{Client: used}, noon, nil)
	b.roomOf(first, store.Quota{Client: used - 1}, noon, &store.OverQuota{Used: used, Limit: used - 1})
	second := b.plan("second", from, noon+1, mebi*store.Compression)
	b.roomOf(first, store.Quota{Client: used}, noon, nil)
	b.roomOf(second, store.Quota{Client: used}, noon, &store.OverQuota{Used: used + 2*mebi, Limit: used})
	b.must(b.Fail(t.Context(), "first", "reason", noon, expires))
	b.roomOf(second, store.Quota{Client: 2 * mebi}, noon, nil)
}

// testQuotaTotal checks the limit of all clients together.
func testQuotaTotal(t *testing.T, b jobsTest) {
	b.complete("first", client.Client{Name: "one"}, 6*mebi, expires+7)
	b.complete("second", client.Client{}, 4*mebi, expires)
	b.plan("third", client.Client{Name: "two"}, noon, mebi*store.Compression)
	const used = 12 * mebi
	other := client.Client{Name: "other"}
	b.room(other, store.Quota{Client: 1, Total: used + 1}, noon, nil)
	b.room(other, store.Quota{Client: 1, Total: used}, noon, &store.OverQuota{Total: true, Used: used, Limit: used, Frees: expires})
	b.room(client.Client{}, store.Quota{Total: used}, noon, &store.OverQuota{Total: true, Used: used, Limit: used, Frees: expires})
	if _, err := b.Expire(t.Context(), expires+7, 0); err != nil {
		t.Error(err)
	}
	b.room(other, store.Quota{Total: 2*mebi + 1}, noon, nil)
}
