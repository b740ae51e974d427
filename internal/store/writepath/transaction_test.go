package writepath

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"muster/internal/fhir"
	"muster/internal/store"
)

// changes returns changes of Locations with the ids.
func changes(ids ...string) (list []store.Change) {
	for _, id := range ids {
		list = append(list, store.Change{Type: fhir.Location, ID: id})
	}
	return list
}

// TestWriteChanges checks that the second change of a resource starts a new transaction.
func TestWriteChanges(t *testing.T) {
	var transactions []int
	outcomes, err := WriteChanges(t.Context(), changes("a", "b", "a", "c"), func(_ context.Context, rest []store.Change) ([]store.Outcome, error) {
		var chunks ChunkSizer
		done, err := chunks.WriteChunks(time.Now(), rest, func(chunk []store.Change) ([]store.Outcome, bool, error) {
			return make([]store.Outcome, len(chunk)), false, nil
		})
		transactions = append(transactions, len(done))
		return done, err
	})
	if err != nil || len(outcomes) != 4 || !slices.Equal(transactions, []int{2, 2}) {
		t.Errorf("%d outcomes in transactions %v, %v; want 4 in 2 and 2", len(outcomes), transactions, err)
	}
}

// TestEveryTransactionWrites checks that a transaction whose time is up before its first chunk, as
// on a slow network, writes that chunk, and no second one.
func TestEveryTransactionWrites(t *testing.T) {
	chunks := ChunkSizer{size: 2}
	var transactions []int
	outcomes, err := WriteChanges(t.Context(), changes("a", "b", "c"), func(_ context.Context, rest []store.Change) ([]store.Outcome, error) {
		if len(transactions) == 3 {
			return nil, errors.New("a transaction wrote nothing")
		}
		done, err := chunks.WriteChunks(time.Now().Add(-time.Hour), rest, func(chunk []store.Change) ([]store.Outcome, bool, error) {
			return make([]store.Outcome, len(chunk)), false, nil
		})
		transactions = append(transactions, len(done))
		return done, err
	})
	if err != nil || len(outcomes) != 3 || !slices.Equal(transactions, []int{2, 1}) {
		t.Errorf("%d outcomes in transactions %v, %v; want 3 in 2 and 1", len(outcomes), transactions, err)
	}
}

// TestWriteChangesError checks that the outcomes of committed transactions are returned with an
// error, and that the error is the cause of a context that has ended.
func TestWriteChangesError(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("shutdown")
	calls := 0
	outcomes, err := WriteChanges(ctx, changes("a", "b"), func(context.Context, []store.Change) ([]store.Outcome, error) {
		if calls++; calls == 1 {
			return []store.Outcome{store.Created}, nil
		}
		cancel(reason)
		return nil, errors.New("interrupted")
	})
	if !errors.Is(err, reason) || len(outcomes) != 1 {
		t.Errorf("%d outcomes, error %v; want 1 and %v", len(outcomes), err, reason)
	}
}

// ExampleChunkSizer shows how the size of a chunk follows the time of the chunk before.
func ExampleChunkSizer() {
	var chunks ChunkSizer
	fmt.Println(chunks.Size())
	chunks.Adapt(chunks.Size(), 10*time.Millisecond)
	fmt.Println(chunks.Size())
	chunks.Adapt(chunks.Size(), 200*time.Millisecond)
	fmt.Println(chunks.Size())
	// Output:
	// 64
	// 128
	// 64
}
