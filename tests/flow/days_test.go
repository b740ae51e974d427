package flow

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGeneratedDays loads a generated directory and its days of changes, and compares what a full
// export holds after each with the ids that the generator says are visible.
func TestGeneratedDays(t *testing.T) {
	t.Attr("requirements", "VI-01 VI-09 SU-04 SU-05 SU-11")
	const days = 3
	dir := filepath.Join(t.TempDir(), "au")
	if out, err := muster.Run("generate", "--scale", "0.05", "--seed", "42", "--days", fmt.Sprint(days), "--out", dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	onBothDatabases(t, func(t *testing.T, newDeployment func(*testing.T) deployment) {
		p := newDeployment(t)
		p.load(t, dir)
		s := p.serve(t, "")
		for day := range days + 1 {
			name := fmt.Sprintf("d%03d", day)
			if day > 0 {
				p.load(t, "--changes", filepath.Join(dir, "delta", name))
			}
			truth, err := os.ReadFile(filepath.Join(dir, "truth", name, "visible.ids"))
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Sorted(slices.Values(strings.Fields(string(truth))))
			if diff := cmp.Diff(want, exported(t, s.wait(s.kickOff(allTypes)))); diff != "" {
				t.Fatalf("after day %d (-truth +export):\n%s", day, diff)
			}
		}
	})
}
