package bound

import (
	"fmt"
	"testing"
)

// failures notes what a check says instead of failing.
type failures struct {
	testing.TB
	said []string
}

func (f *failures) Helper() {}
func (f *failures) Errorf(format string, a ...any) {
	f.said = append(f.said, fmt.Sprintf(format, a...))
}

var sink []byte

func TestBounds(t *testing.T) {
	var f failures
	Limits{Base: 8 << 20}.Run(&f, 10, func() { sink = make([]byte, 1<<20) })
	Peak(&f, 64<<20, func() {
		for range 50 { // much in all, little at a time
			sink = make([]byte, 4<<20)
		}
	})
	if len(f.said) != 0 {
		t.Errorf("within the limits: %q", f.said)
	}
	Limits{Base: 1 << 20, PerByte: 10}.Run(&f, 10, func() { sink = make([]byte, 16<<20) })
	Peak(&f, 8<<20, func() { sink = make([]byte, 32<<20) })
	if len(f.said) != 2 {
		t.Errorf("beyond the limits: %q", f.said)
	}
	sink = nil
}
