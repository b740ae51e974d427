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
