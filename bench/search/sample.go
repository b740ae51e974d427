package main

import (
	"bufio"
	"errors"
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

// sampleSize is the number of resources of each type that values are sampled from.
const sampleSize = 5000

// resources are random resources of each type.
type resources map[fhir.Type][]*fastjson.Value

// sample reads resources at random offsets of the loaded files.
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
	for range sampleSize {
		if _, err := file.Seek(r.Int64N(end), io.SeekStart); err != nil {
			return nil, err
		}
		in.Reset(file)
		if _, err := in.ReadSlice('\n'); err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			continue // the offset is within the last line
		}
		line, err := in.ReadString('\n')
		if err != nil {
			continue
		}
		v, err := fastjson.Parse(line)
		if err != nil {
			continue // the offset was within a very long line
		}
		list = append(list, v)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no resource could be sampled", path)
	}
	return list, nil
}

// texts lists the strings at a path of a resource, through all lists on the path.
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

// sampler samples values for requests.
type sampler struct {
	from    resources
	r       *rand.Rand
	popular bool
	cache   map[string]ranking
}

// ranking holds the values at a path, with one entry for each occurrence.
type ranking struct{ popular, rare []string }

// draw returns a random value at a path, popular or rare.
func (d *sampler) draw(t fhir.Type, path string) string {
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

// rank divides the occurrences of values at a path into those of the most and the least
// frequent values.
func (d *sampler) rank(t fhir.Type, path string) ranking {
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
	return ranking{popular: all[:(len(all)+1)/2], rare: all[len(all)-(len(all)+9)/10:]}
}

// resource returns a random resource.
func (d *sampler) resource(t fhir.Type) *fastjson.Value { return pick(d.r, d.from[t]) }

// position returns the position of a random Location that has one.
func (d *sampler) position() string {
	for range 100 {
		at := d.resource(fhir.Location).Get("position")
		if at != nil {
			return fmt.Sprintf("%v|%v", at.GetFloat64("latitude"), at.GetFloat64("longitude"))
		}
	}
	return "-33.8688|151.2093"
}

// word returns a random word of at least four letters from a value.
func (d *sampler) word(t fhir.Type, path string) string {
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
