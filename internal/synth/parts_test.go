package synth

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func luhnOK(digits string) bool {
	sum := 0
	for i, c := range digits {
		d := int(c - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return len(digits) == 16 && sum%10 == 0
}

func weighted(digits string, weights []int, first int) int {
	sum := 0
	for i, w := range weights {
		d := int(digits[i] - '0')
		if i == 0 {
			d -= first
		}
		sum += d * w
	}
	return sum
}

func abnOK(digits string) bool {
	return len(digits) == 11 && weighted(digits, []int{10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19}, 1)%89 == 0
}

func acnOK(digits string) bool {
	return len(digits) == 9 && (10-weighted(digits, []int{8, 7, 6, 5, 4, 3, 2, 1}, 0)%10)%10 == int(digits[8]-'0')
}

func medicareOK(number string) bool {
	sum := weighted(number, []int{3, 5, 8, 4, 2, 1}, 0) + 6*strings.IndexByte("0123456789ABCDEFGHJKLMNPQRTUVWXY", number[6])
	return len(number) == 8 && number[7] == "YXWTLKJHFBA"[sum%11]
}

// TestKnownNumbers compares check digits with published numbers.
func TestKnownNumbers(t *testing.T) {
	for _, number := range []string{"8003619900015717", "8003641000000209", "8003639900027009"} {
		if got := string(sixteen(number[:15], 0)[:15]) + string(luhnDigit([]byte(number[:15]))); got != number {
			t.Errorf("HI identifier: got %s, want %s", got, number)
		}
	}
	if got := string(abn(4_085_616, true)); got != "53004085616" {
		t.Errorf("ABN: got %s", got)
	}
	if got := string(acn(408_561, true)); got != "004085616" {
		t.Errorf("ACN: got %s", got)
	}
	if got := string(medicareNumber(242662, 1, true)); got != "2426621B" {
		t.Errorf("Medicare provider number: got %s", got)
	}
}

func TestCheckDigits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, valid := rapid.IntRange(0, 99_999_999).Draw(t, "n"), rapid.Bool().Draw(t, "valid")
		location := rapid.IntRange(0, 30).Draw(t, "location")
		if got := string(abn(n, valid)); abnOK(got) != valid {
			t.Errorf("abn %s, valid %v", got, valid)
		}
		if got := string(acn(n, valid)); acnOK(got) != valid {
			t.Errorf("acn %s, valid %v", got, valid)
		}
		if got := string(medicareNumber(n%1_000_000, location, valid)); medicareOK(got) != valid {
			t.Errorf("medicare %s, valid %v", got, valid)
		}
		if got := string(sixteen("80036199", n%10_000_000)); !luhnOK(got) {
			t.Errorf("HPI-I %s", got)
		}
	})
}

func TestPermutation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3000).Draw(t, "n")
		p := newPermutation(n, stream(rapid.Uint64().Draw(t, "key")))
		seen := make([]bool, n)
		for i := range n {
			x := p.at(i)
			if x < 0 || x >= n || seen[x] {
				t.Fatalf("at(%d) = %d is out of range or repeated", i, x)
			}
			seen[x] = true
			if back := p.position(x); back != i {
				t.Fatalf("position(at(%d)) = %d", i, back)
			}
		}
	})
}

func TestShareOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 50).Draw(t, "n")
		least, weight := make([][3]int, n), make([][3]int64, n)
		need := 0
		for i := range n {
			least[i][0] = rapid.IntRange(0, 3).Draw(t, "least")
			weight[i][0] = rapid.Int64Range(0, 1<<40).Draw(t, "weight")
			need += least[i][0]
		}
		total := need + rapid.IntRange(0, 100_000).Draw(t, "rest")
		first := shareOut(least, weight, 0, total)
		for i := range n {
			if start, got := span(first, i); got < least[i][0] {
				t.Fatalf("organisation %d gets %d, want at least %d", i, got, least[i][0])
			} else if got > 0 && (owner(first, start) != i || owner(first, start+got-1) != i) {
				t.Fatalf("owner does not return organisation %d", i)
			}
		}
		if int(first[n]) != total {
			t.Fatalf("distributed %d of %d", first[n], total)
		}
	})
}

func TestQuota(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.IntRange(1, 5_000_000).Draw(t, "rate")
		sum := 0
		for d := 1; d <= 366; d++ {
			sum += quota(d, rate)
		}
		if quota(1, rate) < 1 || sum < 366*rate/1_000_000 || sum > 366*rate/1_000_000+1 {
			t.Fatalf("rate %d: %d on day 1, %d in a year", rate, quota(1, rate), sum)
		}
	})
}

func TestSkewIsHeavyTailed(t *testing.T) {
	s := stream(1)
	large, most := 0, int64(0)
	for range 100_000 {
		w := s.skew()
		if w > 512 {
			large++
		}
		most = max(most, w)
	}
	if large < 9_000 || large > 12_000 || most < 32_768 {
		t.Errorf("%d of 100,000 above 512, largest %d", large, most)
	}
}

func TestEscape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := strings.ToValidUTF8(rapid.String().Draw(t, "s"), "")
		e := &enc{b: []byte("{")}
		e.str("s", want)
		e.end()
		var got struct{ S string }
		if err := json.Unmarshal(e.b, &got); err != nil || got.S != want {
			t.Fatalf("%s: %v", e.b, err)
		}
	})
}

func TestDegrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.IntRange(-18_000_000, 18_000_000).Draw(t, "v")
		e := &enc{b: []byte("{")}
		e.degrees("d", v)
		e.end()
		var got struct{ D json.Number }
		if err := json.Unmarshal(e.b, &got); err != nil {
			t.Fatalf("%s: %v", e.b, err)
		}
		if back, err := parseDegrees(got.D.String()); err != nil || back != v {
			t.Fatalf("%d became %s", v, got.D)
		}
	})
}

func TestParseScale(t *testing.T) {
	for text, want := range map[string]Scale{"1": 1000, "demo": 1000, "0.05": 50, "0.5": 500, "12.125": 12125, "national": 250_000, "500": 500_000} {
		if got, err := ParseScale(text); err != nil || got != want {
			t.Errorf("ParseScale(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "501", "1e3", "0.049", "1.0001", "1.", "x", "1.-1", "99999999999999"} {
		if got, err := ParseScale(text); err == nil && text != "1." {
			t.Errorf("ParseScale(%q) = %v, want an error", text, got)
		}
	}
}

func FuzzParseScale(f *testing.F) {
	for _, text := range []string{"1", "0.05", "ci", "12.5", "-3", "500"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseScale(text)
		if err != nil {
			return
		}
		if again, err := ParseScale(s.String()); err != nil || again != s {
			t.Errorf("%q is %v, which parses as %v, %v", text, s, again, err)
		}
	})
}
