package main

import "math"

// cellBits is the number of bits of each coordinate in a cell; a cell interleaves them, so that a square region of the
// grid is one range of integers, as with S2 cells.
const cellBits = 30

func cellOf(lat, lon float64) int64 {
	x := uint64((lon + 180) / 360 * (1 << cellBits))
	y := uint64((lat + 90) / 180 * (1 << cellBits))
	return int64(spread(x) | spread(y)<<1)
}

func spread(v uint64) uint64 {
	var out uint64
	for i := range cellBits {
		out |= v >> i & 1 << (2 * i)
	}
	return out
}

func positionOf(cell int64) (lat, lon float64) {
	var x, y uint64
	for i := range cellBits {
		x |= uint64(cell) >> (2 * i) & 1 << i
		y |= uint64(cell) >> (2*i + 1) & 1 << i
	}
	return float64(y)/(1<<cellBits)*180 - 90, float64(x)/(1<<cellBits)*360 - 180
}

// cover returns the nine ranges of cells that hold every point within km kilometres of the position.
func cover(lat, lon, km float64) [][2]int64 {
	degrees := km / 111 / math.Cos(lat*math.Pi/180)
	shift := 0
	for float64(uint64(1)<<shift)*180/(1<<cellBits) < degrees {
		shift++
	}
	x := int64((lon + 180) / 360 * (1 << cellBits) / float64(uint64(1)<<shift))
	y := int64((lat + 90) / 180 * (1 << cellBits) / float64(uint64(1)<<shift))
	var out [][2]int64
	for dx := int64(-1); dx <= 1; dx++ {
		for dy := int64(-1); dy <= 1; dy++ {
			lo := int64(spread(uint64(x+dx))|spread(uint64(y+dy))<<1) << (2 * shift)
			out = append(out, [2]int64{lo, lo + 1<<(2*shift) - 1})
		}
	}
	return out
}

// distance is in kilometres on a sphere.
func distance(lat1, lon1, lat2, lon2 float64) float64 {
	const rad = math.Pi / 180
	a := math.Pow(math.Sin((lat2-lat1)*rad/2), 2) + math.Cos(lat1*rad)*math.Cos(lat2*rad)*math.Pow(math.Sin((lon2-lon1)*rad/2), 2)
	return 2 * 6371 * math.Asin(math.Sqrt(a))
}
