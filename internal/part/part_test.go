package part

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	stdgzip "compress/gzip"

	"muster/internal/damage"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// write returns a part of the lines.
func write(t interface{ Fatal(...any) }, lines [][]byte) ([]byte, Summary) {
	var out bytes.Buffer
	w := NewWriter(&out)
	for _, line := range lines {
		if err := w.WriteLine(line); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), sum
}

// someLines returns about size bytes of lines that compress like resources.
func someLines(size int) [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	var lines [][]byte
	for size > 0 {
		line := fmt.Appendf(nil, `{"resourceType":"Location","id":"%x","name":"%s"}`, random.Uint64(), strings.Repeat("ab", random.IntN(400)))
		lines = append(lines, line)
		size -= len(line) + 1
	}
	return lines
}

func identity(lines [][]byte) []byte {
	var all []byte
	for _, line := range lines {
		all = append(append(all, line...), '\n')
	}
	return all
}

func TestGunzip(t *testing.T) {
	cases := map[string][][]byte{
		"empty":     nil,
		"one line":  {[]byte(`{"resourceType":"Organization"}`)},
		"long line": {bytes.Repeat([]byte("x"), fragmentSize+fragmentSize/2), []byte("short"), bytes.Repeat([]byte("y"), fragmentSize)},
		"many":      someLines(2*fragmentSize + 17),
		"full":      {bytes.Repeat([]byte("z"), fragmentSize-1)},
	}
	for name, lines := range cases {
		t.Run(name, func(t *testing.T) {
			stream, sum := write(t, lines)
			want := identity(lines)
			r, err := stdgzip.NewReader(bytes.NewReader(stream))
			if err != nil {
				t.Fatal(err)
			}
			r.Multistream(false)
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("gunzip: %d bytes, %v; want %d", len(got), err, len(want))
			}
			digest := sha256.Sum256(want)
			wantSum := Summary{Count: int64(len(lines)), Bytes: int64(len(want)), GzipBytes: int64(len(stream)), SHA256: hex.EncodeToString(digest[:]), Index: sum.Index}
			if diff := cmp.Diff(wantSum, sum); diff != "" {
				t.Error(diff)
			}
			again, sumAgain := write(t, lines)
			if !bytes.Equal(again, stream) || !cmp.Equal(sum, sumAgain) {
				t.Error("the same lines gave a different part")
			}
			part, err := NewReader(bytes.NewReader(stream), sum)
			if err != nil {
				t.Fatal(err)
			}
			defer part.Close()
			if got, err := io.ReadAll(iotest.HalfReader(part)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the reader: %d bytes, %v; want %d", len(got), err, len(want))
			}
		})
	}
}

// TestGunzipProgram checks that the gzip program reads the stream to its end, which fails
// if fragments are separate members or the checksum is wrong.
func TestGunzipProgram(t *testing.T) {
	program, err := exec.LookPath("gzip")
	if err != nil {
		t.Skip("no gzip program on this machine")
	}
	lines := someLines(3 * fragmentSize)
	stream, _ := write(t, lines)
	command := exec.Command(program, "-dc")
	command.Stdin = bytes.NewReader(stream)
	got, err := command.Output()
	if err != nil || !bytes.Equal(got, identity(lines)) {
		t.Errorf("gzip -dc: %d bytes, %v", len(got), err)
	}
}

// countingReader records which bytes are read.
type countingReader struct {
	io.ReaderAt
	from, to int64
}

func (c *countingReader) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, at)
	c.from = min(c.from, at)
	c.to = max(c.to, at+int64(n))
	return n, err
}

func TestReadDecodesOnlyItsFragment(t *testing.T) {
	lines := someLines(6 * fragmentSize)
	stream, sum := write(t, lines)
	want := identity(lines)
	decoded, err := decodeIndex(&sum)
	if err != nil {
		t.Fatal(err)
	}
	fragments := decoded.fragments
	if len(fragments) < 6 {
		t.Fatalf("%d fragments, want at least 6", len(fragments))
	}
	for n, f := range fragments {
		counted := &countingReader{ReaderAt: bytes.NewReader(stream), from: sum.GzipBytes}
		r, err := NewReader(counted, sum)
		if err != nil {
			t.Fatal(err)
		}
		at := f.identity + f.identitySize - 10
		if _, err := r.Seek(at-sum.Bytes, io.SeekEnd); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 10)
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want[at:at+10]) {
			t.Errorf("fragment %d: read %q, %v", n, got, err)
		}
		if counted.from < f.gzip || counted.to > f.gzip+f.gzipSize {
			t.Errorf("fragment %d: bytes %d to %d were read, outside of %d to %d", n, counted.from, counted.to, f.gzip, f.gzip+f.gzipSize)
		}
		_ = r.Close()
	}
}

// TestReaderIsLikeMemory compares random seeks and reads with a reader of the identity
// form in memory.
func TestReaderIsLikeMemory(t *testing.T) {
	lines := someLines(2*fragmentSize + fragmentSize/4)
	stream, sum := write(t, lines)
	memory := bytes.NewReader(identity(lines))
	rapid.Check(t, func(t *rapid.T) {
		r, err := NewReader(bytes.NewReader(stream), sum)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		_, _ = memory.Seek(0, io.SeekStart)
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			whence := rapid.IntRange(0, 2).Draw(t, "whence")
			offset := rapid.Int64Range(-sum.Bytes-5, sum.Bytes+5).Draw(t, "offset")
			got, err := r.Seek(offset, whence)
			want, wantErr := memory.Seek(offset, whence)
			if got != want || (err == nil) != (wantErr == nil) {
				t.Fatalf("Seek(%d, %d) = %d, %v; want %d, %v", offset, whence, got, err, want, wantErr)
			}
			length := rapid.IntRange(0, 1<<17).Draw(t, "length")
			a, b := make([]byte, length), make([]byte, length)
			n, err := io.ReadFull(r, a)
			m, wantErr := io.ReadFull(memory, b)
			if n != m || !errors.Is(err, wantErr) || !bytes.Equal(a[:n], b[:m]) {
				t.Fatalf("read %d, %v; want %d, %v", n, err, m, wantErr)
			}
		}
	})
}

func TestDamagedStream(t *testing.T) {
	lines := someLines(3 * fragmentSize)
	stream, sum := write(t, lines)
	decoded, _ := decodeIndex(&sum)
	middle := decoded.fragments[1]
	for name, change := range map[string]func([]byte) []byte{
		"cut":    func(b []byte) []byte { return b[:middle.gzip+middle.gzipSize/2] },
		"zeroed": func(b []byte) []byte { clear(b[middle.gzip : middle.gzip+middle.gzipSize]); return b },
		"ended":  func(b []byte) []byte { copy(b[middle.gzip:], lastBlock); return b },
	} {
		t.Run(name, func(t *testing.T) {
			r, err := NewReader(bytes.NewReader(change(bytes.Clone(stream))), sum)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			n, err := io.Copy(io.Discard, r)
			if err == nil || !strings.Contains(err.Error(), "fragment 2 of") {
				t.Errorf("%d bytes, %v; want an error that names fragment 2", n, err)
			}
			if n >= middle.identity+middle.identitySize {
				t.Errorf("%d bytes were read, past the damaged fragment", n)
			}
			// The first fragment can still be read.
			if _, err := r.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
				t.Error(err)
			}
		})
	}
}

// former returns the summary with an index of an older version.
func former(s Summary, version byte) Summary {
	decoded, _ := decodeIndex(&s)
	s.Index = []byte{version}
	for _, f := range decoded.fragments {
		s.Index = binary.AppendUvarint(binary.AppendUvarint(s.Index, uint64(f.identitySize)), uint64(f.gzipSize))
		if version >= indexIdentity {
			s.Index = binary.LittleEndian.AppendUint32(s.Index, f.crc)
		}
	}
	return s
}

// TestChangedBytesAreDetected flips single bits of a stream and reads both forms, whole and from
// the middle of the damaged fragment: no byte of it is returned. The files of the version before
// are verified by decoding them, so a bit that changes nothing may remain.
func TestChangedBytesAreDetected(t *testing.T) {
	lines := someLines(3 * fragmentSize)
	stream, sum := write(t, lines)
	whole := identity(lines)
	decoded, _ := decodeIndex(&sum)
	middle := decoded.fragments[1]
	for version, sum := range map[int]Summary{indexVersion: sum, indexIdentity: former(sum, indexIdentity)} {
		for bit := range 40 {
			damaged := bytes.Clone(stream)
			damaged[middle.gzip+int64(bit)*(middle.gzipSize-1)/40] ^= 1 << (bit % 8)
			byIdentity, err := NewReader(bytes.NewReader(damaged), sum)
			if err != nil {
				t.Fatal(err)
			}
			byStream, err := NewStreamReader(bytes.NewReader(damaged), sum)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				form          string
				r             io.ReadSeeker
				whole         []byte
				start, inside int64
			}{
				{"identity", byIdentity, whole, middle.identity, middle.identity + middle.identitySize - 10},
				{"gzip", byStream, damaged, middle.gzip, middle.gzip + middle.gzipSize - 10},
			} {
				for _, from := range []int64{0, c.inside} {
					if _, err := c.r.Seek(from, io.SeekStart); err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(c.r)
					if version == indexIdentity && err == nil && bytes.Equal(got, c.whole[from:]) {
						continue
					}
					kind, _ := damage.KindOf(err)
					if kind != damage.File || !strings.Contains(err.Error(), "fragment 2 of") || int64(len(got)) != max(0, c.start-from) {
						t.Fatalf("version %d, bit %d, %s from %d: %d bytes, %v; want an error before fragment 2", version, bit, c.form, from, len(got), err)
					}
				}
			}
			_ = byIdentity.Close()
		}
	}
}

// TestStreamReaderIsLikeMemory compares random seeks and reads with the stream in memory, also
// of parts of older versions. The header and the trailer of the file do not matter, as far as the
// index says what they are.
func TestStreamReaderIsLikeMemory(t *testing.T) {
	lines := someLines(2*fragmentSize + fragmentSize/4)
	stream, sum := write(t, lines)
	changed := bytes.Clone(stream)
	changed[4], changed[len(changed)-1] = 1, 1
	rapid.Check(t, func(t *rapid.T) {
		sum, file := sum, changed
		if version := rapid.IntRange(indexUnchecked, indexVersion).Draw(t, "version"); version < indexVersion {
			sum, file = former(sum, byte(version)), stream
		}
		memory := bytes.NewReader(stream)
		r, err := NewStreamReader(bytes.NewReader(file), sum)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			whence := rapid.IntRange(0, 2).Draw(t, "whence")
			offset := rapid.Int64Range(-sum.GzipBytes-5, sum.GzipBytes+5).Draw(t, "offset")
			got, err := r.Seek(offset, whence)
			want, wantErr := memory.Seek(offset, whence)
			if got != want || (err == nil) != (wantErr == nil) {
				t.Fatalf("Seek(%d, %d) = %d, %v; want %d, %v", offset, whence, got, err, want, wantErr)
			}
			length := rapid.IntRange(0, 1<<17).Draw(t, "length")
			a, b := make([]byte, length), make([]byte, length)
			n, err := io.ReadFull(r, a)
			m, wantErr := io.ReadFull(memory, b)
			if n != m || !errors.Is(err, wantErr) || !bytes.Equal(a[:n], b[:m]) {
				t.Fatalf("read %d, %v; want %d, %v", n, err, m, wantErr)
			}
		}
	})
}

// changingFile is a file that changes after it was read once.
type changingFile struct {
	stream []byte
	from   int64
	seen   bool
}

func (c *changingFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := bytes.NewReader(c.stream).ReadAt(p, at)
	if c.seen && at <= c.from && c.from < at+int64(n) {
		p[c.from-at] ^= 1
	}
	c.seen = c.seen || at+int64(n) > c.from
	return n, err
}

// TestFileChangesDuringDownload changes a file after its fragment was verified: the fragment is
// not returned to its end.
func TestFileChangesDuringDownload(t *testing.T) {
	stream, sum := write(t, someLines(fragmentSize/2))
	file := &changingFile{stream: stream, from: 500}
	r, err := NewStreamReader(file, sum)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); err == nil || n >= sum.GzipBytes-trailerSize {
		t.Errorf("gzip: %d of %d bytes, %v", n, sum.GzipBytes, err)
	}
	file.seen = false
	byIdentity, err := NewReader(file, sum)
	if err != nil {
		t.Fatal(err)
	}
	defer byIdentity.Close()
	if n, err := io.Copy(io.Discard, byIdentity); err == nil || n >= sum.Bytes {
		t.Errorf("identity: %d of %d bytes, %v", n, sum.Bytes, err)
	}
}

// TestFormerIndexes reads parts with indexes of the previous versions.
func TestFormerIndexes(t *testing.T) {
	lines := someLines(2 * fragmentSize)
	stream, sum := write(t, lines)
	for _, version := range []byte{indexUnchecked, indexIdentity} {
		r, err := NewReader(bytes.NewReader(stream), former(sum, version))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, identity(lines)) {
			t.Errorf("version %d: %d bytes, %v", version, len(got), err)
		}
		_ = r.Close()
	}
}

// TestSealedRow checks that a change of any field of the row of a part is detected.
func TestSealedRow(t *testing.T) {
	stream, sum := write(t, someLines(fragmentSize/8))
	for name, change := range map[string]func(*Summary){
		"count":  func(s *Summary) { s.Count++ },
		"bytes":  func(s *Summary) { s.Bytes ^= 1 << 40 },
		"gzip":   func(s *Summary) { s.GzipBytes ^= 4 },
		"sha256": func(s *Summary) { s.SHA256 = "0" + s.SHA256[1:] + "0" },
		"index":  func(s *Summary) { s.Index = bytes.Clone(s.Index); s.Index[len(s.Index)-9] ^= 1 },
		"seal":   func(s *Summary) { s.Index = bytes.Clone(s.Index); s.Index[3] ^= 1 },
	} {
		changed := sum
		change(&changed)
		_, err := NewReader(bytes.NewReader(stream), changed)
		if kind, _ := damage.KindOf(err); kind != damage.File {
			t.Errorf("%s: identity: %v", name, err)
		}
		if _, err := NewStreamReader(bytes.NewReader(stream), changed); err == nil {
			t.Errorf("%s: gzip: no error", name)
		}
	}
}

func TestInvalidIndex(t *testing.T) {
	stream, sum := write(t, someLines(2*fragmentSize))
	size, bytesOf := sum.GzipBytes, sum.Bytes
	for name, c := range map[string]struct {
		gzip, bytes int64
		index       []byte
	}{
		"none":          {size, bytesOf, nil},
		"version":       {size, bytesOf, append([]byte{4}, sum.Index[1:]...)},
		"cut":           {size, bytesOf, sum.Index[:len(sum.Index)-1]},
		"more":          {size, bytesOf, append(bytes.Clone(sum.Index), 1, 1)},
		"other gzip":    {size + 1, bytesOf, sum.Index},
		"other bytes":   {size, bytesOf - 1, sum.Index},
		"more bytes":    {size, bytesOf + 1, sum.Index},
		"zero lengths":  {size, bytesOf, []byte{1, 0, 0}},
		"overflow":      {size, bytesOf, []byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}},
		"large":         {size, bytesOf, []byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1}},
		"negative size": {-5, -5, sum.Index},
		"no fragments":  {size, bytesOf, []byte{1}},
		"no checksum":   {size, bytesOf, former(sum, indexIdentity).Index[:5]},
	} {
		if _, err := NewReader(bytes.NewReader(stream), Summary{Count: sum.Count, Bytes: c.bytes, GzipBytes: c.gzip, SHA256: sum.SHA256, Index: c.index}); err == nil {
			t.Errorf("%s: the index was accepted", name)
		}
	}
}

// failing accepts some bytes and then no more.
type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestWriterReportsFailure(t *testing.T) {
	for _, left := range []int{0, 5, 100, 1000, 100000} {
		w := NewWriter(&failing{left: left})
		for _, line := range someLines(3 * fragmentSize) {
			_ = w.WriteLine(line)
		}
		if sum, err := w.Close(); !errors.Is(err, io.ErrShortWrite) || sum.Count != 0 {
			t.Errorf("room for %d bytes: Close gave %+v, %v", left, sum, err)
		}
	}
	w := NewWriter(io.Discard)
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteLine([]byte("{}")); err == nil {
		t.Error("a line after Close was accepted")
	}
	if _, err := w.Close(); err == nil {
		t.Error("a second Close was accepted")
	}
}

// FuzzIndex checks that the fragments of each accepted index cover both forms without a
// gap.
func FuzzIndex(f *testing.F) {
	_, sum := write(f, someLines(2*fragmentSize))
	f.Add(sum.Index, sum.GzipBytes, sum.Bytes)
	f.Add([]byte{1}, int64(20), int64(0))
	f.Add([]byte{1, 1, 1}, int64(21), int64(1))
	f.Add([]byte{2, 1, 1, 0, 0, 0, 0}, int64(21), int64(1))
	f.Fuzz(func(t *testing.T, index []byte, gzipSize, bytesOf int64) {
		decoded, err := decodeIndex(&Summary{Bytes: bytesOf, GzipBytes: gzipSize, Index: index})
		if err != nil {
			return
		}
		fragments := decoded.fragments
		identity, gzip := int64(0), int64(len(header))
		for n, f := range fragments {
			if f.identity != identity || f.gzip != gzip || f.identitySize <= 0 || f.gzipSize <= 0 {
				t.Fatalf("fragment %d: %+v; want it at %d and %d", n, f, identity, gzip)
			}
			identity += f.identitySize
			gzip += f.gzipSize
		}
		if identity != bytesOf || gzip+trailerSize != gzipSize {
			t.Fatalf("fragments end at %d and %d of %d and %d", identity, gzip, bytesOf, gzipSize)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	lines := someLines(8 * fragmentSize)
	b.SetBytes(int64(len(identity(lines))))
	for b.Loop() {
		w := NewWriter(io.Discard)
		for _, line := range lines {
			if err := w.WriteLine(line); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	lines := someLines(8 * fragmentSize)
	stream, sum := write(b, lines)
	b.SetBytes(sum.Bytes)
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(stream), sum)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); n != sum.Bytes || err != nil {
			b.Fatal(n, err)
		}
		_ = r.Close()
	}
}

func BenchmarkReadStream(b *testing.B) {
	stream, sum := write(b, someLines(8*fragmentSize))
	b.SetBytes(sum.GzipBytes)
	for b.Loop() {
		r, err := NewStreamReader(bytes.NewReader(stream), sum)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); n != sum.GzipBytes || err != nil {
			b.Fatal(n, err)
		}
	}
}
