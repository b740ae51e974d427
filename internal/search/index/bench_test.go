package index_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"muster/internal/fhir"

	"github.com/valyala/fastjson"
)

// BenchmarkExtract measures extraction alone over the first resource of each case
// file; BenchmarkParseAndExtract adds the parsing that a load does once anyway.
func BenchmarkExtract(b *testing.B) {
	_, extractor := load(b)
	for _, line := range firstResources(b) {
		b.Run(fastjson.GetString([]byte(line), "resourceType"), func(b *testing.B) {
			v := fastjson.MustParse(line)
			rt, _ := fhir.ParseType(string(v.GetStringBytes("resourceType")))
			entries := extractor.Extract(nil, rt, v)
			b.ReportAllocs()
			for b.Loop() {
				entries = extractor.Extract(entries[:0], rt, v)
			}
		})
	}
}

func BenchmarkParseAndExtract(b *testing.B) {
	_, extractor := load(b)
	for _, line := range firstResources(b) {
		name := fastjson.GetString([]byte(line), "resourceType")
		b.Run(name, func(b *testing.B) {
			var parser fastjson.Parser
			rt, _ := fhir.ParseType(name)
			entries := extractor.Extract(nil, rt, fastjson.MustParse(line))
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				v, err := parser.Parse(line)
				if err != nil {
					b.Fatal(err)
				}
				entries = extractor.Extract(entries[:0], rt, v)
			}
		})
	}
}

// firstResources returns the first resource of each case file, in order of types.
func firstResources(b *testing.B) []string {
	b.Helper()
	var first []string
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		at := strings.Index(string(text), "{")
		line, _, _ := strings.Cut(string(text)[at:], "\n")
		first = append(first, line)
	}
	return first
}
