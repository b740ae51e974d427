package damage

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// TestSumDetects checks that each burst of up to 64 bits changes the sum, and so do the
// changes of other kinds of damage.
func TestSumDetects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 16, 5000).Draw(t, "data")
		changed := bytes.Clone(data)
		at := rapid.IntRange(0, len(data)-Size).Draw(t, "at")
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			burst := rapid.SliceOfN(rapid.Byte(), 1, Size).Draw(t, "burst")
			for n, b := range burst {
				changed[at+n] ^= b
			}
		case 1:
			clear(changed[at:])
		case 2:
			changed = changed[:at]
		}
		if same := bytes.Equal(data, changed); same != (Of(data) == Of(changed)) {
			t.Fatalf("equal data: %v, sums %x and %x", same, Of(data), Of(changed))
		}
	})
}

// TestSumHalvesAreIndependent checks that neither half of the sum follows from the other.
func TestSumHalvesAreIndependent(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	differences := map[Sum]bool{}
	for range 1000 {
		data := []byte(fmt.Sprint(random.Uint64()))
		s := Of(data)
		differences[s>>32^s&0xffffffff] = true
	}
	if len(differences) < 990 {
		t.Errorf("%d different pairs of 1000", len(differences))
	}
}

// TestSumOfParts checks that a sum can be computed in parts, stored and read.
func TestSumOfParts(t *testing.T) {
	whole := Of([]byte("a resource"))
	if parts := Of([]byte("a re")).Add([]byte("source")); parts != whole {
		t.Errorf("in parts %x, whole %x", parts, whole)
	}
	if got := Decode(whole.Append(nil)); got != whole {
		t.Errorf("decoded %x, want %x", got, whole)
	}
	if zeros := Of(make([]byte, 4096)); zeros == 0 {
		t.Error("the sum of zeros is zero: a zeroed block would be right")
	}
}

func TestKindOf(t *testing.T) {
	cause := errors.New("page 3")
	err := fmt.Errorf("read: %w", &Error{Kind: Database, Text: "the database is damaged", Err: cause})
	if kind, ok := KindOf(err); kind != Database || !ok || !errors.Is(err, cause) || err.Error() != "read: the database is damaged: page 3" {
		t.Errorf("%q, %v of %v", kind, ok, err)
	}
	if _, ok := KindOf(cause); ok {
		t.Error("another error is damage")
	}
	if text := New(Row, "row %d", 3).Error(); text != "row 3" {
		t.Error(text)
	}
}

func BenchmarkSum(b *testing.B) {
	data := bytes.Repeat([]byte("resource "), 300)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		_ = Of(data)
	}
}
