package index

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// GramLength is the maximum number of characters in a gram of [Grams].
const GramLength = 5

// Grams returns the grams of a folded text, by which a search for a substring finds it: from
// each character the next five, or fewer at the end, sorted and without duplicates. A text
// contains a needle of up to five characters if and only if one of its grams begins with
// the needle.
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

// Probes returns grams that a text must have to contain a needle: the needle itself if it
// is short, otherwise some whole grams of it, the first and the last among them.
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

// TokenText returns the string entry that a token parameter with :contains has for each
// token (identifier-r5:contains). It has the number of the same parameter, the folded code,
// and the exact system and code, so that one entry holds both.
func TokenText(param int, system, code string) Entry {
	return Entry{Kind: String, Param: param, Norm: Fold(code), Exact: TokenPrefix(system) + code}
}

// TokenPrefix returns the prefix of Exact in each [TokenText] of a system.
func TokenPrefix(system string) string { return strings.ReplaceAll(system, "|", "%7C") + "|" }
