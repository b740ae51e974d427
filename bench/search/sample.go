package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// sampled is how many resources of each type values are drawn from.
const sampled = 5000

// resources are some of each type, taken at random.
type resources map[fhir.Type][]*fastjson.Value

// sample reads resources at random places of the files that were loaded.
func sample(source string, r *rand.Rand) (resources, error) {
	s := resources{}
	for _, t := range fhir.Types() {
		var err error
		if s[t], err = sampleFile(filepath.Join(source, t.String()+".ndjson"), r); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func sampleFile(path string, r *rand.Rand) ([]*fastjson.Value, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	var list []*fastjson.Value
	in := bufio.NewReader(file)
	for range sampled {
		if _, err := file.Seek(r.Int64N(end), io.SeekStart); err != nil {
			return nil, err
		}
		in.Reset(file)
		if _, err := in.ReadSlice('\n'); err != nil && err != bufio.ErrBufferFull {
			continue // within the last line
		}
		line, err := in.ReadString('\n')
		if err != nil {
			continue
		}
		v, err := fastjson.Parse(line)
		if err != nil {
			continue // began within a very long line
		}
		list = append(list, v)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: nothing could be drawn from it", path)
	}
	return list, nil
}

// texts lists the texts at a path in a resource, through all lists on it.
func texts(v *fastjson.Value, path ...string) []string {
	switch {
	case v == nil:
		return nil
	case v.Type() == fastjson.TypeArray:
		var all []string
		for _, item := range v.GetArray() {
			all = append(all, texts(item, path...)...)
		}
		return all
	case len(path) > 0:
		return texts(v.Get(path[0]), path[1:]...)
	}
	if text := string(v.GetStringBytes()); text != "" {
		return []string{text}
	}
	return nil
}

// drawer draws values for one question.
type drawer struct {
	from    resources
	r       *rand.Rand
	popular bool
	cache   map[string]popularity
}

// popularity are the values at a path, one entry for each occurrence.
type popularity struct{ popular, rare []string }

// draw draws a value at a path, popular or rare.
func (d *drawer) draw(t fhir.Type, path string) string {
	key := t.String() + "." + path
	p, ok := d.cache[key]
	if !ok {
		p = d.rank(t, path)
		d.cache[key] = p
	}
	if d.popular {
		return pick(d.r, p.popular)
	}
	return pick(d.r, p.rare)
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// rank parts the occurrences of a path into those of the most and the least frequent
// values.
func (d *drawer) rank(t fhir.Type, path string) popularity {
	counts := map[string]int{}
	var all []string
	for _, v := range d.from[t] {
		for _, text := range texts(v, strings.Split(path, ".")...) {
			counts[text]++
			all = append(all, text)
		}
	}
	if len(all) == 0 {
		all = []string{"nothing"}
	}
	slices.SortFunc(all, func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	return popularity{popular: all[:(len(all)+1)/2], rare: all[len(all)-(len(all)+9)/10:]}
}

// any draws a resource.
func (d *drawer) any(t fhir.Type) *fastjson.Value { return pick(d.r, d.from[t]) }

// position draws the place of a location that has one.
func (d *drawer) position() string {
	for range 100 {
		at := d.any(fhir.Location).Get("position")
		if at != nil {
			return fmt.Sprintf("%v|%v", at.GetFloat64("latitude"), at.GetFloat64("longitude"))
		}
	}
	return "-33.8688|151.2093"
}

// word draws a word of four letters or more out of a value.
func (d *drawer) word(t fhir.Type, path string) string {
	var long []string
	for _, w := range strings.Fields(d.draw(t, path)) {
		if len([]rune(w)) >= 4 {
			long = append(long, w)
		}
	}
	if long == nil {
		return "clinic"
	}
	return pick(d.r, long)
}
