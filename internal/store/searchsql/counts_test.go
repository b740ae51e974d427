package searchsql

import (
	"context"
	"errors"
	"testing"
)

// TestCountsAreRemembered: what was counted is not counted again, but for errors and
// for other arguments.
func TestCountsAreRemembered(t *testing.T) {
	asked := 0
	var failure error
	var counts Counts
	count := counts.through(func(context.Context, Statement) (int64, error) {
		asked++
		return int64(asked), failure
	})
	ask := func(arg any) (int64, error) {
		return count(t.Context(), Statement{SQL: "SELECT count(*)", Args: []any{arg}})
	}
	failure = errors.New("interrupted")
	if _, err := ask("a"); !errors.Is(err, failure) {
		t.Errorf("an error is hidden: %v", err)
	}
	failure = nil
	for _, c := range []struct {
		arg  any
		want int64
	}{{"a", 2}, {"b", 3}, {"a", 2}, {"b", 3}} {
		if got, err := ask(c.arg); got != c.want || err != nil {
			t.Errorf("count with %v: %d, %v, want %d", c.arg, got, err, c.want)
		}
	}
}
