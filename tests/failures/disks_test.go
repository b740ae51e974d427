package failures

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

const filler = "filler"

// fill writes until the disk is full, and then frees the space that the script asks for.
func (e *environment) fill(ts *testscript.TestScript, args []string) {
	f, err := os.Create(filepath.Join(ts.MkAbs(args[0]), filler))
	ts.Check(err)
	page := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		ts.Fatalf("fill %s: %v", args[0], err)
	}
	if len(args) == 2 {
		info, err := f.Stat()
		ts.Check(err)
		ts.Check(f.Truncate(info.Size() - size(ts, args[1])))
	}
	ts.Check(f.Close())
}

// size parses a number of bytes such as 60k or 2m.
func size(ts *testscript.TestScript, text string) int64 {
	units := map[byte]int64{'k': 1 << 10, 'm': 1 << 20}
	n, err := strconv.ParseInt(text[:len(text)-1], 10, 64)
	ts.Check(err)
	return n * units[text[len(text)-1]]
}

func (e *environment) free(ts *testscript.TestScript, args []string) {
	ts.Check(os.Remove(filepath.Join(ts.MkAbs(args[0]), filler)))
}

// practitioners writes NDJSON that does not compress to almost nothing.
func (e *environment) practitioners(ts *testscript.TestScript, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprintf(w, `{"resourceType":"Practitioner","id":"p%d","active":true,"name":[{"family":"%s","given":["N%x"]}]}`+"\n", i, args[2], uint64(i+1)*0x9e3779b97f4a7c15)
	}
	ts.Check(errors.Join(w.Flush(), f.Close()))
}

// bundle writes a Bundle of n endpoints, over several lines.
func (e *environment) bundle(ts *testscript.TestScript, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	w := bufio.NewWriter(f)
	fmt.Fprint(w, "{\n\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[\n")
	for i := range n {
		if i > 0 {
			fmt.Fprint(w, ",\n")
		}
		fmt.Fprintf(w, `{"resource":{"resourceType":"Endpoint","id":"e%d","status":"active"}}`, i)
	}
	fmt.Fprint(w, "\n]}\n")
	ts.Check(errors.Join(w.Flush(), f.Close()))
}
