package synth

import "math/bits"

// goldenGamma is the increment of splitmix64: 2^64 divided by the golden ratio.
const goldenGamma = 0x9e3779b97f4a7c15

// stream is a splitmix64 generator. Its state is one word, so a stream for any record can be
// created at any time, in any order.
type stream uint64

// aspect separates the draws for one record, so that its flags can be computed without its
// body, and a new draw in one aspect does not affect the others.
type aspect uint64

const (
	aspectID aspect = iota + 1
	aspectLocalID
	aspectIdentifier
	aspectPlan
	aspectRoles
	aspectState
	aspectTime
	aspectBody
	aspectContact
	aspectHours
	aspectName
	aspectPlace
	aspectDay
	aspectLink
	aspectUse
)

// mix is the finaliser of splitmix64: every input bit changes about half of
// the output bits.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// draws is the version of the streams. A change of it changes all content. It is not [Version],
// since most changes of the generator affect only a few elements.
const draws = 2

// newStream returns the stream for one aspect of record index of type k.
func newStream(seed uint64, a aspect, k kind, index int) stream {
	key := uint64(draws)<<32 | uint64(a)<<8 | uint64(k)
	return stream(mix(mix(seed^mix(key)) + uint64(index)*goldenGamma))
}

func (s *stream) next() uint64 {
	*s += goldenGamma
	return mix(uint64(*s))
}

// n returns a number in [0, n). The bias of the multiplication is less than n/2^64.
func (s *stream) n(n int) int {
	hi, _ := bits.Mul64(s.next(), uint64(n))
	return int(hi)
}

// chance returns true with a probability of ppm in a million.
func (s *stream) chance(ppm int) bool { return s.n(1_000_000) < ppm }

// skew returns a heavy-tailed weight: three of four draws are from 64 to 255, and each
// doubling beyond that is half as frequent, up to 255 << 8.
func (s *stream) skew() int64 {
	tail := min(bits.TrailingZeros64(s.next()|1<<9), 9)
	weight := int64(64 + s.n(192))
	return weight << max(0, tail-1)
}

// pick draws an index with the given cumulative weights, the last of which is the sum.
func (s *stream) pick(cumulative []int) int {
	draw := s.n(cumulative[len(cumulative)-1])
	lo, hi := 0, len(cumulative)-1
	for lo < hi {
		mid := (lo + hi) / 2
		if draw < cumulative[mid] {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// cumulate converts weights to cumulative weights for [stream.pick].
func cumulate(weights []int) []int {
	sums := make([]int, len(weights))
	total := 0
	for i, w := range weights {
		total += w
		sums[i] = total
	}
	return sums
}

// permutation is a keyed bijection of [0, n): a Feistel network over the next even power of
// two, applied repeatedly until the value is in range.
type permutation struct {
	n    uint64
	half uint
	keys [4]uint64
}

func newPermutation(n int, key stream) permutation {
	p := permutation{n: uint64(max(n, 1))}
	p.half = uint(bits.Len64(p.n-1)+1) / 2
	for i := range p.keys {
		p.keys[i] = key.next()
	}
	return p
}

// at returns the image of i, which must be below n.
func (p *permutation) at(i int) int {
	x := uint64(i)
	mask := uint64(1)<<p.half - 1
	for {
		left, right := x>>p.half, x&mask
		for _, key := range p.keys {
			left, right = right, left^mix(right^key)&mask
		}
		if x = left<<p.half | right; x < p.n {
			return int(x)
		}
	}
}

// position returns the index whose image is x.
func (p *permutation) position(x int) int {
	y := uint64(x)
	mask := uint64(1)<<p.half - 1
	for {
		left, right := y>>p.half, y&mask
		for i := len(p.keys) - 1; i >= 0; i-- {
			left, right = right^mix(left^p.keys[i])&mask, left
		}
		if y = left<<p.half | right; y < p.n {
			return int(y)
		}
	}
}
