package load

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
)

var gzipMagic = []byte{0x1f, 0x8b}

// gunzip decompresses consecutive gzip members. It ignores and counts bytes after the last
// member, such as padding.
type gunzip struct {
	raw      *bufio.Reader
	member   *gzip.Reader
	trailing int64
}

func newGunzip(raw *bufio.Reader) (*gunzip, error) {
	member, err := gzip.NewReader(raw)
	if err != nil {
		return nil, err
	}
	member.Multistream(false)
	return &gunzip{raw: raw, member: member}, nil
}

// Read implements io.Reader.
func (g *gunzip) Read(p []byte) (int, error) {
	n, err := g.member.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	next, err := g.raw.Peek(len(gzipMagic))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return n, err
	case !bytes.Equal(next, gzipMagic):
		left, err := io.Copy(io.Discard, g.raw)
		g.trailing += left
		if err != nil {
			return n, err
		}
		return n, io.EOF
	}
	if err := g.member.Reset(g.raw); err != nil {
		return n, err
	}
	g.member.Multistream(false)
	return n, nil
}
