package part_test

import (
	"bytes"
	"fmt"
	"io"
	"log"

	"muster/internal/part"
)

// A part is written line by line. Its gzip form is the stream itself, and its identity form can
// be read from any offset.
func Example() {
	var stream bytes.Buffer
	w := part.NewWriter(&stream)
	for _, id := range []string{"a", "b", "c"} {
		if err := w.WriteLine([]byte(`{"resourceType":"Location","id":"` + id + `"}`)); err != nil {
			log.Fatal(err)
		}
	}
	sum, err := w.Close()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum.Count, "lines in", sum.Bytes, "bytes")

	r, err := part.NewReader(bytes.NewReader(stream.Bytes()), sum)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Seek(-sum.Bytes/3, io.SeekEnd); err != nil {
		log.Fatal(err)
	}
	last, err := io.ReadAll(r)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(last))
	// Output:
	// 3 lines in 111 bytes
	// {"resourceType":"Location","id":"c"}
}
