package search

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"muster/internal/conformance"
	"muster/internal/searchtest"
	"muster/internal/searchtest/compare"
)

// TestBoundariesOfPeriods checks, for random periods and every day, month and year around
// them, that ge of a date finds all that gt of the date before finds, and le all that lt of
// the date after finds. With periods to the day, they find the same.
func TestBoundariesOfPeriods(t *testing.T) {
	t.Attr("requirements", "SR-44")
	reg, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			trial, err := open(t, reg).Open(t.Context(), searchtest.Batches{randomPeriods(rand.New(rand.NewPCG(seed, 0)))})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := trial.Close(); err != nil {
					t.Error(err)
				}
			})
			for _, step := range []struct {
				layout              string
				years, months, days int
				count               int
			}{{"2006-01-02", 0, 0, 1, 40}, {"2006-01", 0, 1, 0, 6}, {"2006", 1, 0, 0, 4}} {
				day := time.Date(2025, 12, 20, 0, 0, 0, 0, time.UTC)
				for range step.count {
					next := day.AddDate(step.years, step.months, step.days)
					before, after := day.Format(step.layout), next.Format(step.layout)
					for _, c := range [][2]string{{"ge" + after, "gt" + before}, {"le" + before, "lt" + after}} {
						wide, narrow := found(t, trial, c[0]), found(t, trial, c[1])
						if !slices.Equal(wide, narrow) {
							t.Fatalf("seed %d: date=%s finds %v, date=%s finds %v", seed, c[0], wide, c[1], narrow)
						}
					}
					day = next
				}
			}
			if len(found(t, trial, "ge2026-01-05")) == 0 {
				t.Error("the dates are not near the periods")
			}
		})
	}
}

func found(t *testing.T, trial *compare.Trial, date string) []string {
	t.Helper()
	ids, err := trial.Search(t.Context(), "PractitionerRole?date="+date)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// randomPeriods returns roles with periods in January 2026, some open, some to the minute.
func randomPeriods(r *rand.Rand) []string {
	var lines []string
	for n := range 60 {
		first := time.Date(2025, 12, 28+r.IntN(15), r.IntN(24), r.IntN(60), 0, 0, time.UTC)
		last := first.Add(time.Duration(r.IntN(20*24*60)) * time.Minute)
		layout := []string{"2006-01-02", "2006-01-02T15:04:05Z", "2006-01"}[r.IntN(3)]
		start, end := fmt.Sprintf(`"start":%q`, first.Format(layout)), fmt.Sprintf(`"end":%q`, last.Format(layout))
		period := []string{start + "," + end, start + "," + end, start, end}[r.IntN(4)]
		lines = append(lines, fmt.Sprintf(`{"resourceType":"PractitionerRole","id":"r%d","period":{%s}}`, n, period))
	}
	return lines
}
