package part

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestEachLine reads back lines of all lengths, counts them, and refuses a damaged stream.
func TestEachLine(t *testing.T) {
	want := []string{"", "a", strings.Repeat("long ", 40_000), "", "end"}
	var stream bytes.Buffer
	w := NewWriter(&stream)
	for _, line := range want {
		if err := w.WriteLine([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := EachLine(stream.Bytes(), func(line []byte) error { got = append(got, string(line)); return nil }); err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
	if lines, size, err := CountLines(stream.Bytes()); err != nil || lines != sum.Count || size != sum.Bytes {
		t.Errorf("%d lines in %d bytes, %v; want %d in %d", lines, size, err, sum.Count, sum.Bytes)
	}
	stop := errors.New("stop")
	if err := EachLine(stream.Bytes(), func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the error of yield is not returned, but %v", err)
	}
	for _, bad := range [][]byte{nil, []byte("no gzip"), stream.Bytes()[:stream.Len()-1]} {
		if _, _, err := CountLines(bad); err == nil {
			t.Errorf("a damaged stream of %d bytes was read", len(bad))
		}
	}
	var cut bytes.Buffer
	w = NewWriter(&cut)
	w.pending = append(w.pending, "no end"...)
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := CountLines(cut.Bytes()); err == nil {
		t.Error("a last line without an end was read")
	}
}
