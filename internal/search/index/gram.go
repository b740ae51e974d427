package index

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// GramLength is how many characters the pieces of [Grams] have at most.
const GramLength = 5

// Grams returns the pieces of a folded text by which texts are found that contain
// another: from each character on the next five, or fewer at the end, each once and
// in order. A text contains a needle of up to five characters if and only if one of
// its pieces begins with the needle.
func Grams(norm string) []string {
	var starts []int
	for i := range norm {
		starts = append(starts, i)
	}
	grams := make([]string, len(starts))
	for n, start := range starts {
		end := len(norm)
		if n+GramLength < len(starts) {
			end = starts[n+GramLength]
		}
		grams[n] = norm[start:end]
	}
	slices.Sort(grams)
	return slices.Compact(grams)
}

// Probes returns pieces of a needle, from which to look for the texts that contain
// it: the needle itself if it is short, else some whole grams spread over it, the
// first and the last among them.
func Probes(needle string) []string {
	n := utf8.RuneCountInString(needle)
	if n <= GramLength {
		return []string{needle}
	}
	const most = 4
	runes := []rune(needle)
	last := n - GramLength
	count := min(most, last+1)
	var probes []string
	for i := range count {
		start := i * last / max(count-1, 1)
		probes = append(probes, string(runes[start:start+GramLength]))
	}
	return probes
}

// TokenText is the string entry that a token parameter has beside each token when
// parts of its codes can be searched for (identifier-r5:contains). It stands under
// the number of the same parameter: the code folded, and system and code to the
// letter, so that system and part are looked for in one entry.
func TokenText(param int, system, code string) Entry {
	return Entry{Kind: String, Param: param, Norm: Fold(code), Exact: TokenPrefix(system) + code}
}

// TokenPrefix is how the Exact of the [TokenText] of a system begins.
func TokenPrefix(system string) string { return strings.ReplaceAll(system, "|", "%7C") + "|" }
