package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/search/index"
	"muster/internal/search/plan"
	"muster/internal/store"
)

// benchChange returns a resource of 1.5 KB with 17 index entries. A few of the entries
// are unique; most are shared by many resources.
func benchChange(r *rand.Rand, n int, tail []byte) store.Change {
	c := store.Change{Type: fhir.PractitionerRole, ID: fmt.Sprintf("%016x-%d", r.Uint64(), n), Document: store.Document{
		Head: []byte(`{"resourceType":"PractitionerRole","id":"x","meta":{`), Tail: tail}}
	binary.BigEndian.PutUint64(c.SourceHash[:], uint64(n)+1)
	token := func(param int, system, code string) {
		c.Entries = append(c.Entries, index.Entry{Kind: index.Token, Param: param, System: system, Code: code})
	}
	for param := range 3 {
		token(param, "http://ns.electronichealth.net.au/id/hi/hpii/1.0", fmt.Sprint(8003610000000000+r.Int64N(1e9)))
	}
	for param := 3; param < 9; param++ {
		token(param, "http://snomed.info/sct", fmt.Sprint(100000000+r.IntN(400)))
	}
	token(9, "", "true")
	for param := 10; param < 13; param++ {
		text := fmt.Sprintf("suburb %d", r.IntN(15000))
		c.Entries = append(c.Entries, index.Entry{Kind: index.String, Param: param, Norm: text, Exact: text})
	}
	for param := 13; param < 16; param++ {
		c.Entries = append(c.Entries, index.Entry{Kind: index.Reference, Param: param, System: "Location", Code: fmt.Sprintf("%x", r.Uint64N(500000))})
	}
	from := fhir.Instant(r.Int64N(1e12))
	c.Entries = append(c.Entries, index.Entry{Kind: index.Date, Param: 16, Period: fhir.Period{From: from, To: from + 1000}})
	return c
}

// Changes returns n resources as benchChange makes them, the same ones for each call.
func Changes(n int) []store.Change {
	r := rand.New(rand.NewPCG(1, 2))
	tail := append([]byte(`},"text":"`), bytes.Repeat([]byte("lorem ipsum "), 120)...)
	tail = append(tail, `"}`...)
	changes := make([]store.Change, n)
	for i := range changes {
		changes[i] = benchChange(r, i, tail)
	}
	return changes
}

func rate(b *testing.B, n int) {
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "resources/s")
}

// Benchmark measures a driver: loading, selecting, reading, and opening snapshots during
// a load.
func Benchmark(b *testing.B, open OpenStore) {
	b.Run("Apply", func(b *testing.B) { benchApply(b, open) })
	b.Run("Read", func(b *testing.B) { benchRead(b, open) })
	b.Run("SnapshotWhileLoading", func(b *testing.B) { benchSnapshot(b, open) })
}

func benchApply(b *testing.B, open OpenStore) {
	changes := Changes(50_000)
	for b.Loop() {
		b.StopTimer()
		s := open(b, b.TempDir(), time.Now)
		b.StartTimer()
		if _, err := s.Apply(b.Context(), changes); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		_ = s.Close()
		b.StartTimer()
	}
	rate(b, len(changes))
}

// benchRead measures the other statements on one loaded directory.
func benchRead(b *testing.B, open OpenStore) {
	changes := Changes(100_000)
	s := open(b, b.TempDir(), time.Now)
	if _, err := s.Apply(b.Context(), changes); err != nil {
		b.Fatal(err)
	}
	snap, err := s.OpenSnapshot(b.Context(), func(_ context.Context, _ fhir.Instant) error { return nil })
	if err != nil {
		b.Fatal(err)
	}
	defer snap.Close()
	var keys []store.RowKey
	code, system := "100000007", "http://snomed.info/sct"
	everything := plan.Updated{Compare: plan.Comparison{Prefix: plan.GE, Period: fhir.Period{From: -2208988800000, To: -2177452800000}}}
	for _, c := range []struct {
		name string
		root plan.Node
	}{
		{"SelectAll", plan.And{everything, plan.Visible{Active: true, NotSuppressed: true}}},
		{"SelectToken", plan.And{plan.Token{Param: 3, System: &system, Code: &code}, plan.Visible{Active: true}}},
		{"SelectPrefix", plan.And{plan.String{Param: 10, Text: "suburb 77"}, plan.Visible{Active: true}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				keys, n = keys[:0], 0
				err := snap.Select(b.Context(), plan.Plan{Type: fhir.PractitionerRole, Root: c.root}, func(key store.RowKey, _ int64) error {
					keys = append(keys, key)
					n++
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			rate(b, n)
		})
	}
	first, _ := store.KeyRange(fhir.PractitionerRole)
	for _, step := range []int{1, 10} {
		b.Run(fmt.Sprint("ReadAsOfEvery", step), func(b *testing.B) {
			page, n := make([]store.RowKey, 0, 2000), 0
			for b.Loop() {
				n = 0
				for at := 0; at < len(changes); at += 2000 * step {
					page = page[:0]
					for i := at; i < min(len(changes), at+2000*step); i += step {
						page = append(page, first+store.RowKey(i))
					}
					err := s.ReadAsOf(b.Context(), page, snap.Time(), func(_ store.RowKey, line []byte) error {
						n++
						return nil
					})
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			rate(b, n)
		})
	}
	b.Run("ApplyUnchanged", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Apply(b.Context(), changes[:20000]); err != nil {
				b.Fatal(err)
			}
		}
		rate(b, 20000)
	})
	b.Run("ApplyUpdates", func(b *testing.B) {
		n := byte(0)
		for b.Loop() {
			n++
			for i := range 20000 {
				changes[i].SourceHash[15] = n
				changes[i].Entries[3].Code = fmt.Sprint("changed", n)
			}
			if _, err := s.Apply(b.Context(), changes[:20000]); err != nil {
				b.Fatal(err)
			}
		}
		rate(b, 20000)
	})
}

// benchSnapshot opens snapshots while another store handle, like another process, loads
// continuously.
func benchSnapshot(b *testing.B, open OpenStore) {
	dir := b.TempDir()
	loader, server := open(b, dir, time.Now), open(b, dir, time.Now)
	ctx, stop := context.WithCancel(b.Context())
	loaded, started := make(chan int, 1), make(chan struct{}, 1)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n += 5000 {
			if n == 5000 {
				close(started)
			}
			changes := Changes(5000)
			for i := range changes {
				changes[i].ID = fmt.Sprint(n, "-", i)
			}
			if _, err := loader.Apply(ctx, changes); err != nil && ctx.Err() == nil {
				b.Error(err)
			}
		}
		loaded <- n
	}()
	<-started
	var waits []time.Duration
	for b.Loop() {
		start := time.Now()
		s, err := server.OpenSnapshot(b.Context(), func(context.Context, fhir.Instant) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
		waits = append(waits, time.Since(start))
		_ = s.Close()
	}
	elapsed := b.Elapsed()
	stop()
	b.ReportMetric(float64(<-loaded)/elapsed.Seconds(), "resources/s")
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)*99/100].Milliseconds()), "p99-ms")
	b.ReportMetric(float64(waits[len(waits)-1].Milliseconds()), "max-ms")
}
