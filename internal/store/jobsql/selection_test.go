package jobsql

import (
	"testing"

	"muster/internal/damage"
	"muster/internal/fhir"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
)

// TestDamagedSelection flips each bit of a stored selection, and reads it as that of another job,
// type and time. A selection of an older program has no checksum.
func TestDamagedSelection(t *testing.T) {
	keys := roaring64.BitmapOf(1<<41|1, 1<<41|2, 1<<41|70000)
	stored, err := encodeSelection("job", fhir.Location, 1000, keys)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeSelection("job", fhir.Location, 1000, stored); err != nil || !got.Equals(keys) {
		t.Fatalf("%v, %v", got, err)
	}
	wrong := func(what, job string, of fhir.Type, at fhir.Instant, stored []byte) {
		t.Helper()
		got, err := decodeSelection(job, of, at, stored)
		if kind, _ := damage.KindOf(err); kind != damage.Selection {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	for bit := range len(stored) * 8 {
		stored[bit/8] ^= 1 << (bit % 8)
		wrong("a flipped bit", "job", fhir.Location, 1000, stored)
		stored[bit/8] ^= 1 << (bit % 8)
	}
	wrong("another job", "jab", fhir.Location, 1000, stored)
	wrong("another type", "job", fhir.Practitioner, 1000, stored)
	wrong("another time", "job", fhir.Location, 1001, stored)
	wrong("a cut selection", "job", fhir.Location, 1000, stored[:len(stored)-1])
	wrong("an empty selection", "job", fhir.Location, 1000, nil)
	older, err := keys.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeSelection("job", fhir.Location, 1000, older); err != nil || !got.Equals(keys) {
		t.Errorf("without a checksum: %v, %v", got, err)
	}
}

// TestDamagedContent flips each bit of a stored content, and reads it as that of another job, part
// and time.
func TestDamagedContent(t *testing.T) {
	stored := encodeContent("job", 3, 1000, []byte("lines"))
	if got, err := decodeContent("job", 3, 1000, stored); err != nil || string(got) != "lines" {
		t.Fatalf("%q, %v", got, err)
	}
	wrong := func(what, job string, number int, at fhir.Instant, stored []byte) {
		t.Helper()
		got, err := decodeContent(job, number, at, stored)
		if kind, _ := damage.KindOf(err); kind != damage.Selection {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	for bit := range len(stored) * 8 {
		stored[bit/8] ^= 1 << (bit % 8)
		wrong("a flipped bit", "job", 3, 1000, stored)
		stored[bit/8] ^= 1 << (bit % 8)
	}
	wrong("another job", "jab", 3, 1000, stored)
	wrong("another part", "job", 4, 1000, stored)
	wrong("another time", "job", 3, 1001, stored)
	wrong("a cut content", "job", 3, 1000, stored[:len(stored)-1])
	wrong("an empty content", "job", 3, 1000, nil)
}
