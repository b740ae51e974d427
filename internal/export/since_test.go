package export

import (
	"strings"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"
)

// TestSinceBeyondTheHorizon checks that an export is refused if removals after its _since were
// forgotten: at the kick-off, and when its transaction time is drawn. One before 2000 is answered.
func TestSinceBeyondTheHorizon(t *testing.T) {
	t.Attr("req", "VI-12 KO-23")
	onBothDatabases(t, func(t *testing.T, onPostgres bool) {
		b := newFixtureOn(t, onPostgres, nil)
		b.fill(3)
		kickOff := func(since fhir.Instant) (string, error) {
			t.Helper()
			return b.KickOff(t.Context(), b.request(&since, "Practitioner"))
		}
		before := fhir.InstantOf(b.clock.Now())
		late, err := kickOff(before)
		if err != nil {
			t.Fatal(err)
		}
		b.clock.Add(time.Hour)
		b.apply(store.Change{Type: fhir.Practitioner, ID: "p1", Remove: true})
		after := fhir.InstantOf(b.clock.Now())
		// A sweep that has not seen the job, since it was created later.
		sweep := store.Sweep{Before: fhir.Forever, Needs: func([]byte) fhir.Instant { return fhir.Forever }}
		if n, err := b.Store.SweepRemovals(t.Context(), sweep); n != 1 || err != nil {
			t.Fatalf("swept %d removals, %v", n, err)
		}

		const want = "The directory knows the removals after 2026-03-01T10:30:00.000Z only, and _since is 2026-03-01T09:30:00.000Z: start again with a full export, without _since."
		_, err = kickOff(before)
		issues, ok := fhir.AsIssues(err)
		if !ok || issues[0].Code != fhir.CodeInvalid || issues[0].Diagnostics != want {
			t.Errorf("a kick-off before the horizon: %v", err)
		}
		start(t, b.Service)
		if status := b.wait(b.Service, late); status.State != store.Failed || status.Reason != want {
			t.Errorf("the job is %s: %s", status.State, status.Reason)
		}
		for _, since := range []fhir.Instant{after, 0, fhir.InstantOf(time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC))} {
			id, err := kickOff(since)
			if err != nil {
				t.Fatalf("since %v: %v", since, err)
			}
			if status := b.wait(b.Service, id); status.State != store.Complete {
				t.Errorf("since %v: the job is %s: %s", since, status.State, status.Reason)
			}
		}
		if _, err := kickOff(fhir.InstantOf(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))); err == nil {
			t.Error("a kick-off with _since 2000-01-01 is answered")
		}
	})
}

// TestSweepKeepsRemovalsOfLiveExports checks that the janitor forgets old removals, but not those
// that a live export needs.
func TestSweepKeepsRemovalsOfLiveExports(t *testing.T) {
	b := newFixture(t, func(c *Config) { c.KeepRemovals = time.Hour })
	b.fill(1)
	before := fhir.InstantOf(b.clock.Now())
	b.clock.Add(time.Second)
	b.apply(store.Change{Type: fhir.Practitioner, ID: "p0", Remove: true})
	horizon := func() fhir.Instant {
		t.Helper()
		if err := b.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		h, err := b.Store.Horizon(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return h.Swept
	}
	if h := horizon(); h != 0 {
		t.Errorf("a young removal was forgotten: horizon %v", h)
	}
	id, err := b.KickOff(t.Context(), b.request(&before, "Practitioner"))
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Add(2 * time.Hour)
	if h := horizon(); h != 0 {
		t.Errorf("a removal that an export needs was forgotten: horizon %v", h)
	}
	if err := b.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if h := horizon(); h == 0 {
		t.Error("an old removal was not forgotten")
	}
	if at, err := b.Store.LogStart(t.Context()); err != nil || at == 0 {
		t.Errorf("the change log begins at %v, %v: its entries were kept", at, err)
	}
}

// TestNeedsRemovals checks from when on stored requests need removals.
func TestNeedsRemovals(t *testing.T) {
	since := fhir.Instant(1_772_000_000_000)
	stored := func(since *fhir.Instant) string {
		t.Helper()
		text, err := Request{Since: since}.encode(testBase)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for text, want := range map[string]fhir.Instant{
		stored(nil): fhir.Forever, stored(new(fhir.Instant)): fhir.Forever, stored(&since): since,
		strings.Replace(stored(&since), "1772", "1773", 1): fhir.Always, "": fhir.Always,
	} {
		if got := needsRemovals([]byte(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}
