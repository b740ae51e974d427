package optimiser

import (
	"context"
	"errors"
	"testing"

	"muster/internal/store/searchsql/sqlwriter"
)

// TestCountCache checks that a statement with the same arguments is counted once, and
// that errors are not cached.
func TestCountCache(t *testing.T) {
	calls := 0
	var failure error
	var cache CountCache
	count := cache.Wrap(func(context.Context, sqlwriter.Statement) (int64, error) {
		calls++
		return int64(calls), failure
	})
	countWith := func(arg any) (int64, error) {
		return count(t.Context(), sqlwriter.Statement{SQL: "SELECT count(*)", Args: []any{arg}})
	}
	failure = errors.New("interrupted")
	if _, err := countWith("a"); !errors.Is(err, failure) {
		t.Errorf("count returned %v, want %v", err, failure)
	}
	failure = nil
	for _, c := range []struct {
		arg  any
		want int64
	}{{"a", 2}, {"b", 3}, {"a", 2}, {"b", 3}} {
		if got, err := countWith(c.arg); got != c.want || err != nil {
			t.Errorf("count with %v: %d, %v, want %d", c.arg, got, err, c.want)
		}
	}
}
