package bound

import (
	"fmt"
	"testing"
)

// failures records the errors of a check instead of failing the test.
type failures struct {
	testing.TB
	errors []string
}

func (f *failures) Helper() {}
func (f *failures) Errorf(format string, a ...any) {
	f.errors = append(f.errors, fmt.Sprintf(format, a...))
}

var sink []byte

func TestBounds(t *testing.T) {
	var f failures
	Limits{Base: 8 << 20}.Run(&f, 10, func() { sink = make([]byte, 1<<20) })
	Peak(&f, 64<<20, func() {
		for range 50 { // large in total, small at any time
			sink = make([]byte, 4<<20)
		}
	})
	if len(f.errors) != 0 {
		t.Errorf("within the limits: %q", f.errors)
	}
	Limits{Base: 1 << 20, PerByte: 10}.Run(&f, 10, func() { sink = make([]byte, 16<<20) })
	Peak(&f, 8<<20, func() { sink = make([]byte, 32<<20) })
	if len(f.errors) != 2 {
		t.Errorf("beyond the limits: %q", f.errors)
	}
	sink = nil
}

// TestLinear checks that work in proportion to its size passes, and that work in proportion to
// the square of it does not.
func TestLinear(t *testing.T) {
	var f failures
	total := 0
	linear := func(n int) func() { return func() { total += sum(200 * n) } }
	square := func(n int) func() { return func() { total += sum(n * n) } }
	if Linear(&f, linear); len(f.errors) != 0 {
		t.Errorf("linear work: %q", f.errors)
	}
	if Linear(&f, square); len(f.errors) != 1 {
		t.Errorf("quadratic work: %q", f.errors)
	}
	if total == 0 {
		t.Error("nothing was computed")
	}
}

func sum(n int) (total int) {
	for i := range n {
		total += i ^ total>>1
	}
	return total
}
